// Linear in every storage form: parity with the reference, the lead of cut blocks, and results that do not depend on the batch.
#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

class LinearParity : public LinearOpsParity {};

struct LinearShape {
  DType dtype;
  int64_t rows, cols, lead;
};

const LinearShape kShapes[] = {
    {DType::kF32, 1, 1, 0},    {DType::kF32, 7, 33, 0},    {DType::kF32, 64, 576, 0},  {DType::kF16, 5, 31, 0},
    {DType::kF16, 130, 98, 0}, {DType::kBF16, 3, 95, 0},   {DType::kBF16, 257, 160, 0}, {DType::kQ8_0, 9, 32, 0},
    {DType::kQ8_0, 66, 40, 8}, {DType::kQ8_0, 5, 1, 31},   {DType::kQ4_0, 4, 96, 0},   {DType::kQ4_0, 31, 50, 30},
    {DType::kQ4_1, 13, 64, 0}, {DType::kQ4_1, 600, 576, 0}, {DType::kQ4_1, 6, 7, 12},  {DType::kQ4_1, 2, 100, 16},
    {DType::kQ5_0, 9, 96, 0},  {DType::kQ5_0, 6, 33, 31},  {DType::kQ5_1, 7, 64, 0},   {DType::kQ5_1, 3, 40, 5},
    {DType::kQ8_1, 5, 64, 0},  {DType::kMxfp4, 6, 96, 0},  {DType::kMxfp4, 5, 50, 14},
    {DType::kQ2_K, 5, 512, 0}, {DType::kQ2_K, 7, 300, 40}, {DType::kQ3_K, 6, 256, 0},  {DType::kQ3_K, 3, 100, 200},
    {DType::kQ4_K, 9, 768, 0}, {DType::kQ4_K, 6, 70, 129}, {DType::kQ5_K, 4, 256, 0},  {DType::kQ5_K, 5, 257, 255},
    {DType::kQ6_K, 8, 512, 0}, {DType::kQ6_K, 5, 150, 77}, {DType::kQ8_K, 3, 256, 0},  {DType::kQ8_K, 4, 20, 250},
    // Long rows, whose columns several warps share, and of which some begin where vectors cannot.
    {DType::kBF16, 33, 1096, 0}, {DType::kF16, 17, 1160, 0},  {DType::kF32, 18, 1156, 0},  {DType::kQ4_0, 18, 1088, 0},
    {DType::kQ4_0, 17, 1056, 0}, {DType::kQ4_0, 3, 1000, 70}, {DType::kQ4_1, 35, 1120, 0}, {DType::kQ8_0, 19, 1056, 0},
    {DType::kMxfp4, 17, 1056, 0}, {DType::kMxfp4, 4, 990, 64}, {DType::kQ4_K, 21, 2048, 0}, {DType::kQ4_K, 5, 1500, 300},
    {DType::kQ6_K, 17, 1280, 0},
};
const int64_t kTokens[] = {1, 2, 3, 4, 5, 6, 7, 13, 32, 65};

std::string Describe(const LinearShape& shape, int64_t tokens) {
  return Cat(Name(shape.dtype), " ", shape.rows, "x", shape.cols, " lead ", shape.lead, " tokens ", tokens);
}

TEST_P(LinearParity, EveryFormAndShapeEqualsTheReference) {
  for (const LinearShape& shape : kShapes) {
    const PackedWeight weight = RandomWeight(shape.dtype, shape.rows, shape.cols, shape.lead, 1);
    const Owned bias = Random(1, shape.rows, 3);
    const double scale = ScaleOf(weight);
    for (const int64_t tokens : kTokens) {
      const Owned x = Random(tokens, shape.cols, 2);
      for (const bool with_bias : {false, true}) {
        const std::span<const float> b = with_bias ? std::span<const float>(bias.values) : std::span<const float>();
        Owned expected = Poisoned(tokens, shape.rows), found = Poisoned(tokens, shape.rows);
        reference_.Linear(weight, b, x.tensor, expected.tensor);
        ops_->Linear(weight, b, x.tensor, found.tensor);
        const double f32 = 2e-6 * std::sqrt(static_cast<double>(shape.cols));
        ExpectClose(found, expected, std::max(f32, promise_.tolerance), Describe(shape, tokens), scale);
      }
    }
  }
}

TEST_P(LinearParity, ATokensResultDependsOnNeitherBatchNorThreads) {
  for (const LinearShape& shape : kShapes) {
    const PackedWeight weight = RandomWeight(shape.dtype, shape.rows, shape.cols, shape.lead, 1);
    const int64_t most = std::min<int64_t>(65, promise_.same_bits);
    const Owned x = Random(most, shape.cols, 2);
    Owned together = Poisoned(most, shape.rows);
    ops_->Linear(weight, {}, x.tensor, together.tensor);
    for (const int64_t count : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{5}, int64_t{6}, most - 1}) {
      Owned part = Poisoned(count, shape.rows);
      alone_->Linear(weight, {}, {x.tensor.data + shape.cols, count, shape.cols}, part.tensor);
      ExpectSameBits(part.values, std::span(together.values).subspan(static_cast<size_t>(shape.rows), part.values.size()),
                     Describe(shape, count));
    }
  }
}

TEST_P(LinearParity, AnEmptyWeightGivesTheBias) {
  const Owned x(3, 0, 0);
  Owned y = Poisoned(3, 4);
  const std::vector<float> bias = {1, 2, 3, 4};
  ops_->Linear(PackedWeight{}, bias, x.tensor, y.tensor);
  for (size_t i = 0; i < y.values.size(); ++i) EXPECT_EQ(y.values[i], bias[i % 4]);
  ops_->Linear(PackedWeight{}, {}, x.tensor, y.tensor);
  for (const float value : y.values) EXPECT_EQ(value, 0);
  Owned nothing(3, 0, 0);
  ops_->Linear(PackedWeight{}, {}, x.tensor, nothing.tensor);
}

TEST(Ops, OptionsAreRefusedByName) {
  EXPECT_NE(Message(MakeOps({.isa = "sse9"}).status()).find("isa: found sse9"), std::string::npos);
  EXPECT_NE(Message(MakeOps({.threads = 0}).status()).find("threads: found 0"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Isas, LinearParity, testing::ValuesIn(LinearBackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
