// Random matrices: halves as dtype.h rounds them, and the same bits from every back end.
#include "kernels/random_matrix.h"

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

TEST(RandomMatrix, RoundsHalvesToNearestEven) {
  for (uint32_t bits = 0; bits < 0x47000000u; bits += 4099) {  // up to 32,768
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(HalfBits(value), FloatToHalf(value)) << value;
    ASSERT_EQ(HalfBits(-value), FloatToHalf(-value)) << -value;
  }
}

class RandomParity : public OpsParity {};

TEST_P(RandomParity, AreTheSameBitsEverywhere) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    const DTypeInfo& info = Info(dtype);
    PackedWeight expected = RandomWeight(dtype, 7, 96, 0, 1), found = RandomWeight(dtype, 7, 96, 0, 2);
    const RandomMatrix values{.key = 12345, .first_row = 3, .first_col = 32, .bound = 0.25f, .dtype = dtype,
                              .block_values = static_cast<int32_t>(info.values), .block_bytes = static_cast<int32_t>(info.bytes),
                              .scale = FloatToHalf(0.25f / 8), .minimum = FloatToHalf(-0.25f)};
    reference_.Randomise(values, expected);
    ops_->Randomise(values, found);
    EXPECT_EQ(std::memcmp(found.bytes.data(), expected.bytes.data(), static_cast<size_t>(7 * expected.row_bytes)), 0) << Name(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds, RandomParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
