// The cut of a query's keys into parts: bounds that launches and scratch memory rely on.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cuda/attend_parts.h"

namespace drover::cuda {
namespace {

// Parts that the keys [first, first + keys) have a share in.
int64_t PartsAt(int64_t first, int64_t keys, int64_t group) {
  const int64_t part = PartKeys(keys, group);
  return (first + keys - 1) / part - first / part + 1;
}

TEST(AttendParts, NoQueryHasMorePartsThanAnyBoundOnItsKeysSays) {
  for (const int64_t group : {1, 8, 9, 16, 128}) {
    int64_t most = 0, most_from_zero = 0;
    for (int64_t keys = 1; keys < 200000; keys += keys < 2000 ? 1 : 61) {
      for (const int64_t first : {int64_t{0}, int64_t{1}, int64_t{255}, int64_t{4095}, int64_t{100003}})
        most = std::max(most, PartsAt(first, keys, group));
      most_from_zero = std::max(most_from_zero, PartsAt(0, keys, group));
      ASSERT_EQ(most_from_zero, PartsBound(keys, group, true)) << keys << " keys, group " << group;
      ASSERT_LE(most, PartsBound(keys, group, false)) << keys << " keys, group " << group;
    }
    EXPECT_LE(most, kPartsMax);
  }
}

TEST(AttendParts, PartsGrowWithTheGroupAndWithVeryManyKeys) {
  EXPECT_EQ(256, PartKeys(1, 1));
  EXPECT_EQ(256, PartKeys(16384, 8));
  EXPECT_EQ(512, PartKeys(16385, 8));
  EXPECT_EQ(4096, PartKeys(1, 128));
  EXPECT_EQ(1, PartsBound(1, 1, false));
  EXPECT_EQ(1, PartsBound(256, 1, true));
  EXPECT_EQ(2, PartsBound(256, 1, false));
}

}  // namespace
}  // namespace drover::cuda
