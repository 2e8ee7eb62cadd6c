// Angles that are kept are those of their position, also where another one had their place.
#include "worker/model/angles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace drover {
namespace {

TEST(Angles, AreThoseOfThePosition) {
  const RopeTable table = MakeRopeTable({.dims = 6, .scaling = {}});
  Angles angles(table);
  ASSERT_EQ(angles.pairs(), 3u);
  std::vector<float> expected(6);
  for (const int64_t position : {0, 5, 5, 4101, 5, 131'077, 4101}) {  // 5, 4101 and 131077 have one place
    WriteAngles(table, position, std::span(expected).first(3), std::span(expected).last(3));
    EXPECT_TRUE(std::ranges::equal(angles.Of(position), expected)) << position;
  }
  EXPECT_FLOAT_EQ(angles.Of(5)[0], std::cos(5.0f));
  EXPECT_FLOAT_EQ(angles.Of(5)[3], std::sin(5.0f));
}

}  // namespace
}  // namespace drover
