// Storage formats: names, byte arithmetic, and exact conversions over every bit pattern.
#include "common/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace drover {
namespace {

TEST(BytesFor, CountsWholeBlocksOnly) {
  EXPECT_EQ(*BytesFor(DType::kBF16, 7), 14);
  EXPECT_EQ(*BytesFor(DType::kQ4_1, 64), 40);
  EXPECT_EQ(*BytesFor(DType::kQ8_0, 0), 0);
  EXPECT_FALSE(BytesFor(DType::kQ4_0, 33).ok());
  EXPECT_FALSE(BytesFor(DType::kF32, std::numeric_limits<int64_t>::max()).ok());
  EXPECT_FALSE(BytesFor(DType::kF32, -1).ok());
}

TEST(DType, SafetensorsNamesGoBothWays) {
  for (const char* name : {"F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"}) {
    ASSERT_TRUE(DTypeFromSafetensors(name).has_value()) << name;
    EXPECT_EQ(Info(*DTypeFromSafetensors(name)).safetensors, name);
  }
  EXPECT_FALSE(DTypeFromSafetensors("").has_value());
  EXPECT_FALSE(DTypeFromSafetensors("f32").has_value());
}

TEST(HalfToFloat, EveryPatternGoesThereAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = HalfToFloat(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(value))));
      continue;
    }
    ASSERT_EQ(FloatToHalf(value), half) << bits;
  }
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0f);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24f);
  EXPECT_EQ(HalfToFloat(0xfbff), -65504.0f);
}

TEST(FloatToBFloat16, RoundsToNearestEven) {
  EXPECT_EQ(FloatToBFloat16(1.0f), 0x3f80);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // tie, stays even
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);  // tie, goes to even
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::nanf("")))));
}

}  // namespace
}  // namespace drover
