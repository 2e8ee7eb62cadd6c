// Loading by several threads, to a device: the same weights, bytes and errors as by one.
#include <gtest/gtest.h>

#include <cstring>

#include "worker/weights/load.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

std::string Folder(const std::string& name) { return DROVER_SOURCE_DIR "/tests/testdata/golden/" + name; }

void ExpectSame(const AlignedBytes& a, const AlignedBytes& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  if (a.size() > 0) EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size())), 0) << what;
}

// A device's memory, as far as loading goes.
class FarMemory : public HostMemory {
 public:
  bool on_host() const override { return false; }
  absl::StatusOr<AlignedBytes> Allocate(int64_t size) override { return ++times, HostMemory::Allocate(size); }
  int64_t times = 0;
};

TEST(LoadThreads, GiveTheSameWeights) {
  for (const std::string name : {"mixtral-6", "qwen3-moe-mixed", "llama31-gqa"}) {
    const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(Folder(name));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const RankCut& cut : {RankCut{{1, 1}, 0}, RankCut{{3, 1}, 1}}) {
      int64_t bytes_of_one = 0, bytes_of_three = 0, last = 0;
      FarMemory far;
      auto one = LoadRankWeights(*checkpoint, cut, {.bytes_read = &bytes_of_one});
      auto three = LoadRankWeights(*checkpoint, cut, {.threads = 3, .memory = &far, .progress = [&](int64_t done, int64_t) { last = done; },
                                                      .bytes_read = &bytes_of_three});
      ASSERT_TRUE(one.ok() && three.ok()) << three.status();
      EXPECT_EQ(one->bytes, three->bytes);
      EXPECT_EQ(bytes_of_one, bytes_of_three);
      EXPECT_EQ(last, bytes_of_three);
      EXPECT_EQ(far.times, 1) << "small weights share a piece of a device's memory";
      for (const Weight& weight : WeightTable(checkpoint->spec)) {
        if (PartOf(weight, checkpoint->spec, cut).empty()) continue;
        const Slot a = SlotOf(*one, weight, checkpoint->spec, cut), b = SlotOf(*three, weight, checkpoint->spec, cut);
        if (a.matrix != nullptr) {
          ExpectSame(a.matrix->bytes, b.matrix->bytes, weight.name);
          ExpectSame(a.matrix->groups.scales, b.matrix->groups.scales, weight.name);
          continue;
        }
        const std::span<const float> x = *a.vector, y = *b.vector;
        ASSERT_EQ(x.size(), y.size()) << weight.name;
        EXPECT_EQ(std::memcmp(x.data(), y.data(), x.size_bytes()), 0) << weight.name;
      }
    }
  }
}

TEST(LoadThreads, StopWhenAskedAndSayWhy) {
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(Folder("llama31-gqa"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  int asked = 0;
  const auto stopped = LoadRankWeights(*checkpoint, {}, {.threads = 4, .cancelled = [&] { return ++asked > 3; }});
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled) << stopped.status();
  EXPECT_EQ(LoadRankWeights(*checkpoint, {}, {.threads = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace drover
