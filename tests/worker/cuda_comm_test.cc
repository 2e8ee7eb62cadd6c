// Communicators of a device on a real GPU, in one process: loopback, whose ranks are streams of it, and NCCL with one rank.
#include <gtest/gtest.h>

#include "tests/worker/comm_conformance.h"
#include "tests/worker/loopback_ranks.h"
#include "tests/worker/recorded_sums.h"
#include "worker/comm/nccl_communicator.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLimit = std::chrono::minutes(1);

bool HasDevice() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

absl::Status PassEvery(DeviceRank& rank, Communicator& comm, SumOrder order) {
  NearCommunicator near(comm, *rank.memory);
  for (const CommCheck& check : CommChecks(order)) {
    near.SetDeadline(Clock::now() + kLimit);
    DROVER_RETURN_IF_ERROR(Annotate(check.run(near), check.name));
  }
  return absl::OkStatus();
}

class LoopbackOnGpu : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  }
};

TEST_P(LoopbackOnGpu, PassesEveryCheck) {
  const auto statuses = OnLoopback(GetParam(), GetParam(), [](DeviceRank& rank, Communicator& comm) {
    return PassEvery(rank, comm, SumOrder::kRanks);
  });
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_P(LoopbackOnGpu, StreamsWaitForEachOtherInAChainOfCalls) {
  for (const int64_t count : {10, 5000, 1 << 22}) {
    const auto statuses = OnLoopback(GetParam(), GetParam(), [count](DeviceRank& rank, Communicator& comm) {
      return ChainOfCalls(rank, comm, count);
    });
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, LoopbackOnGpu, testing::Values(1, 2, 3, 4, 8), testing::PrintToStringParamName());

TEST(NcclOnGpu, OneRankPassesEveryCheckAndMeetsAgain) {
  if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  DeviceRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  for (int epoch = 0; epoch < 2; ++epoch) {
    const absl::StatusOr<std::string> meeting = NcclCommunicator::MakeMeeting();
    ASSERT_TRUE(meeting.ok()) << meeting.status();
    const auto comm = NcclCommunicator::Join(*meeting, *rank.device, {}, Clock::now() + kLimit);
    ASSERT_TRUE(comm.ok()) << comm.status();
    EXPECT_TRUE(PassEvery(rank, **comm, SumOrder::kAny).ok());
  }
}

// Recordings outlive communicators here: NCCL ends those only when the graphs are gone, and would hang else.
TEST(NcclOnGpu, OneRankReplaysWhatWasRecorded) {
  if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  DeviceRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  cuda::Recordings recordings(*rank.device);
  for (const bool aborts : {false, true, false}) {
    const auto comm = NcclCommunicator::Join(*NcclCommunicator::MakeMeeting(), *rank.device, {}, Clock::now() + kLimit);
    ASSERT_TRUE(comm.ok()) << comm.status();
    const absl::Status status = ManyRecordedSums(rank, recordings, **comm);
    ASSERT_TRUE(status.ok()) << status;
    if (!aborts) continue;
    (*comm)->Abort();
    std::byte byte{};
    EXPECT_EQ((*comm)->Broadcast({&byte, 1}, 0).code(), absl::StatusCode::kAborted);
  }
}

TEST(NcclOnGpu, AbortReturns) {
  if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  DeviceRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  const auto comm = NcclCommunicator::Join(*NcclCommunicator::MakeMeeting(), *rank.device, {}, Clock::now() + kLimit);
  ASSERT_TRUE(comm.ok()) << comm.status();
  absl::StatusOr<AlignedBytes> x = rank.Filled(1000, 1);
  ASSERT_TRUE(x.ok());
  EXPECT_TRUE((*comm)->AllReduceSum(Floats(*x)).ok());
  (*comm)->Abort();
  EXPECT_EQ((*comm)->AllReduceSum(Floats(*x)).code(), absl::StatusCode::kAborted);
}

// The other rank never comes: the wait ends by its deadline, and NCCL lets go.
TEST(NcclOnGpu, AnAbsentRankIsADeadline) {
  if (!HasDevice()) GTEST_SKIP() << "no CUDA device";
  DeviceRank rank;
  ASSERT_TRUE(rank.Open(0).ok());
  const auto comm = NcclCommunicator::Join(*NcclCommunicator::MakeMeeting(), *rank.device, {.ranks = 2}, Clock::now() + std::chrono::seconds(2));
  EXPECT_EQ(comm.status().code(), absl::StatusCode::kDeadlineExceeded) << comm.status();
}

}  // namespace
}  // namespace drover
