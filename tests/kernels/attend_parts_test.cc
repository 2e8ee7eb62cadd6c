// The cut of a query's keys into parts: bounds that launches and scratch memory rely on, and the blocks that one sequence gives.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/attend_parts.h"

namespace drover::cuda {
namespace {

constexpr int32_t kLeast[] = {128, 256, 512, 1024};

// Parts that the keys [first, first + keys) have a share in.
int64_t PartsAt(int64_t first, int64_t keys, int32_t least) {
  const int64_t part = PartKeys(keys, least);
  return (first + keys - 1) / part - first / part + 1;
}

TEST(AttendParts, NoQueryHasMorePartsThanAnyBoundOnItsKeysSays) {
  for (const int32_t least : kLeast) {
    int64_t most = 0, most_from_zero = 0;
    for (int64_t keys = 1; keys < 200000; keys += keys < 2000 ? 1 : 61) {
      for (const int64_t first : {int64_t{0}, int64_t{1}, int64_t{255}, int64_t{4095}, int64_t{100003}})
        most = std::max(most, PartsAt(first, keys, least));
      most_from_zero = std::max(most_from_zero, PartsAt(0, keys, least));
      if (keys < 128 * least) {
        ASSERT_EQ(most_from_zero, PartsBound(keys, least, true)) << keys << " keys, parts of " << least;
      }
      ASSERT_LE(most_from_zero, PartsBound(keys, least, true)) << keys << " keys, parts of " << least;
      ASSERT_LE(most, PartsBound(keys, least, false)) << keys << " keys, parts of " << least;
    }
    EXPECT_LE(most, kPartsMax);
  }
}

TEST(AttendParts, PartsGrowWithVeryManyKeys) {
  EXPECT_EQ(256, PartKeys(32768, 256));
  EXPECT_EQ(512, PartKeys(32769, 256));
  EXPECT_EQ(1, PartsBound(1, 256, false));
  EXPECT_EQ(1, PartsBound(256, 256, true));
  EXPECT_EQ(2, PartsBound(256, 256, false));
}

struct ShapeCase {
  const char* name;
  int64_t heads, kv_heads, group, head_dim, value_dim;  // value_dim > 0: values are a part of the keys
  DType type;
  int32_t least;
  int64_t parts_of_8k;  // over all KV heads
};

TEST(AttendParts, OneSequenceGivesEnoughOfThem) {
  constexpr ShapeCase kShapes[] = {
      {"8B dense", 32, 8, 4, 128, 0, DType::kBF16, 256, 256},
      {"70B dense of 8 ranks", 8, 1, 8, 128, 0, DType::kBF16, 128, 64},
      {"16 to one", 64, 4, 16, 128, 0, DType::kBF16, 256, 128},
      {"each its own", 32, 32, 1, 64, 0, DType::kBF16, 256, 1024},
      {"three KV heads", 9, 3, 3, 64, 0, DType::kBF16, 128, 192},
      {"latent", 128, 1, 128, 576, 512, DType::kBF16, 1024, 8},
      {"latent of 8 ranks", 16, 1, 128, 576, 512, DType::kBF16, 256, 32},
      {"latent of 8 ranks in f32", 16, 1, 128, 576, 512, DType::kF32, 128, 64},
  };
  alignas(16) static std::array<std::byte, 16384> cache;
  for (const ShapeCase& c : kShapes) {
    const AttentionShape shape{.heads = c.heads, .kv_heads = c.kv_heads, .group = c.group, .head_dim = c.head_dim, .value_dim = c.value_dim};
    KvLayer kv{cache.data(), cache.data() + 8192, 16, c.kv_heads, c.head_dim, c.type};
    if (c.value_dim > 0) kv.values = kv.keys;
    const int32_t least = LeastPartKeys(kv, shape);
    EXPECT_EQ(least, c.least) << c.name;
    EXPECT_EQ(c.kv_heads * PartsAt(0, 8192, least), c.parts_of_8k) << c.name;
  }
}

}  // namespace
}  // namespace drover::cuda
