// cuda_bench without a GPU: its arithmetic, its words, and a run of tiny shapes on the stand-in for CUDA.
#include <gtest/gtest.h>

#include "bench/cuda_runner.h"

namespace drover::bench {
namespace {

constexpr Limits kLimits{.bytes_per_second = 1e12, .flops_per_second = 1e14};

Entry Took(Work work, double seconds) { return {.what = "a kernel", .work = work, .timing = Summarise({seconds})}; }

TEST(CudaBench, SummarisesByTheMedian) {
  const Timing odd = Summarise({3, 1, 50}), even = Summarise({4, 1, 2, 3});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.least, 1);
  EXPECT_EQ(odd.most, 50);
  EXPECT_EQ(even.median, 2.5);
  EXPECT_EQ(even.runs, 4);
}

TEST(CudaBench, SharesAreOfTheNearerLimit) {
  EXPECT_DOUBLE_EQ(ShareOf(Took({.bytes = 1e9, .flops = 1e9}, 2e-3), kLimits), 0.5);    // 1 ms to move, 10 us to compute
  EXPECT_DOUBLE_EQ(ShareOf(Took({.bytes = 1e6, .flops = 1e12}, 20e-3), kLimits), 0.5);  // 10 ms to compute
}

TEST(CudaBench, SaysWhatLimits) {
  EXPECT_EQ(LimitedBy(Took({.bytes = 1e9}, 1.2e-3), kLimits), "memory bandwidth");
  EXPECT_EQ(LimitedBy(Took({.flops = 1e12}, 12e-3), kLimits), "tensor cores");
  EXPECT_EQ(LimitedBy(Took({.bytes = 1e6}, 5e-6), kLimits), "launch and latency: 1.0 us at best");
  EXPECT_EQ(LimitedBy(Took({.bytes = 1e8}, 1e-3), kLimits), "instructions and latency of the kernel: 100.0 us at best");
  EXPECT_EQ(LimitedBy({.missing = "no room"}, kLimits), "not measured: no room");
}

TEST(CudaBench, TableAndJsonTellTheSame) {
  const std::vector<Entry> entries = {Took({.bytes = 1e9}, 1.25e-3), {.what = "another", .missing = "no room"}};
  const std::string table = Table(entries, kLimits);
  EXPECT_NE(table.find("a kernel  1250.0  1250.0 - 1250.0  800 GB/s  80.0 %  memory bandwidth\n"), std::string::npos) << table;
  EXPECT_NE(table.find("not measured: no room\n"), std::string::npos) << table;
  const Json json = ToJson(entries, kLimits);
  ASSERT_EQ(json["results"].size(), 2u);
  EXPECT_EQ(json["results"][0]["share"], 0.8);
  EXPECT_EQ(json["results"][0]["rate"], "800 GB/s");
  EXPECT_FALSE(json["results"][1].contains("share"));
}

TEST(CudaBench, RunsEveryCase) {
  const Cases cases = TinyCases();
  const absl::StatusOr<Found> found = RunOnCuda(cases, 0);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->entries.size(), 2 + cases.linear.size() + cases.attend.size() + cases.experts.size());
  for (const Entry& entry : found->entries) {
    EXPECT_EQ(entry.missing, "") << entry.what;
    EXPECT_GT(entry.timing.median, 0) << entry.what;
    EXPECT_GT(entry.work.bytes + entry.work.flops, 0) << entry.what;
    EXPECT_GE(entry.timing.runs, 3) << entry.what;
  }
  EXPECT_DOUBLE_EQ(ShareOf(found->entries[0], found->limits), 1);
  const std::string table = Table(found->entries, found->limits);
  EXPECT_NE(table.find("decode attention, batch 3, context 20"), std::string::npos) << table;
  EXPECT_NE(table.find("experts int4 1 of 2, 128x256, tokens 70"), std::string::npos) << table;
}

TEST(CudaBench, AForeignDeviceIsToldAsMissing) {
  const absl::Status status = RunOnCuda(TinyCases(), -1).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace drover::bench
