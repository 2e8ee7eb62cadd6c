// Norms, gates, routing and rows: fast versions against the reference, and the reference against hand-made numbers.
#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

TEST_P(OpsParity, RmsNorm) {
  for (const auto& [rows, cols, width] : {std::array<int64_t, 3>{1, 1, 1}, {3, 33, 33}, {5, 576, 576}, {4, 60, 20}, {2, 64, 8}}) {
    const Owned x = Random(rows, cols, 1), gain = Random(1, width, 2);
    Owned expected = Poisoned(rows, cols), found = Poisoned(rows, cols);
    reference_.RmsNorm(x.tensor, gain.values, 1e-5f, expected.tensor);
    ops_->RmsNorm(x.tensor, gain.values, 1e-5f, found.tensor);
    ExpectClose(found, expected, 2e-6, Cat("width ", width));
  }
}

TEST_P(OpsParity, L2NormInPlace) {
  Owned expected = Random(3, 60, 1), found = expected;
  reference_.L2Norm(20, 1e-5f, expected.tensor);
  ops_->L2Norm(20, 1e-5f, found.tensor);
  ExpectClose(found, expected, 2e-6, "l2");
}

TEST_P(OpsParity, LayerNormWithAndWithoutWeights) {
  for (const auto& [rows, cols, width] : {std::array<int64_t, 3>{1, 3, 3}, {3, 33, 33}, {4, 60, 20}}) {
    const Owned x = Random(rows, cols, 1), gain = Random(1, width, 2), bias = Random(1, width, 3);
    for (const bool weights : {true, false}) {
      const std::span<const float> g = weights ? std::span<const float>(gain.values) : std::span<const float>();
      const std::span<const float> b = weights ? std::span<const float>(bias.values) : std::span<const float>();
      Owned expected = Poisoned(rows, cols), found(x);
      reference_.LayerNorm(x.tensor, width, g, b, 1e-5f, expected.tensor);
      ops_->LayerNorm(found.tensor, width, g, b, 1e-5f, found.tensor);
      ExpectClose(found, expected, 2e-6, Cat("width ", width));
    }
  }
}

TEST_P(OpsParity, ElementWiseOperations) {
  Owned expected = Random(3, 60, 1), found = expected;
  const std::vector<float> gain(60, 0.5f);
  std::vector<float> sums(3), found_sums(3);
  const auto run = [&](Ops& ops, Tensor x, std::span<float> squares) {
    ops.Scale(3.5f, x);
    ops.Clamp(4.0f, x);
    ops.SoftCap(3.0f, x);
    ops.SumSquares(x, 7, squares);
    ops.ScaleBySquares(squares, 53, gain, 1e-5f, x);
  };
  run(reference_, expected.tensor, sums);
  run(*ops_, found.tensor, found_sums);
  ExpectClose(found, expected, 2e-6, "scale, clamp, soft cap, norm in two halves");
}

TEST_P(OpsParity, ActivateInPlace) {
  for (const GateKind kind : {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGelu, GateKind::kRelu}) {
    for (const int64_t cols : {1, 7, 31, 4100}) {
      Owned expected = Random(3, cols, 1);
      expected.values[0] = -200;
      Owned found = expected;
      reference_.Activate(kind, expected.tensor);
      ops_->Activate(kind, found.tensor);
      ExpectClose(found, expected, 3e-6, Cat("columns ", cols));
    }
  }
}

TEST_P(OpsParity, GatedProductInPlace) {
  for (const GateKind kind : {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGelu, GateKind::kRelu}) {
    for (const int64_t cols : {1, 7, 31, 4100}) {
      Owned gate = Random(3, cols, 1);
      const Owned up = Random(3, cols, 2);
      gate.values[0] = -200;  // exp overflows: the result is 0, not NaN
      Owned expected = Poisoned(3, cols), found = gate;
      reference_.GatedProduct(kind, gate.tensor, up.tensor, expected.tensor);
      ops_->GatedProduct(kind, found.tensor, up.tensor, found.tensor);
      ExpectClose(found, expected, 3e-6, Cat("columns ", cols));
    }
  }
}

TEST_P(OpsParity, ClampedPairs) {
  Owned x = Random(3, 2 * 37, 1);
  for (float& value : x.values) value *= 6;  // some beyond the limit of 7 on either side
  Owned expected = Poisoned(3, 37), found = Poisoned(3, 37);
  reference_.ClampedPairs(1.702f, 7, x.tensor, expected.tensor);
  ops_->ClampedPairs(1.702f, 7, x.tensor, found.tensor);
  ExpectClose(found, expected, 1e-6, "clamped pairs");
}

TEST_P(OpsParity, MatricesOfHeads) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0})
    for (const auto& [cols, tokens] : {std::pair<int64_t, int64_t>{32, 5}, {96, 70}, {64, 1}, {40, 5}}) {
      if (cols % Info(dtype).values != 0) continue;
      const PackedWeight weight = RandomWeight(dtype, 3 * 12, cols, 0, 1);
      const Owned wide = Random(tokens, 3 * cols, 2), heads = Random(tokens, 3 * 9, 3);
      Owned expected = Poisoned(tokens, 3 * 7), found = expected;
      reference_.HeadLinear(weight, {3, 12, 5, 7}, wide.tensor, expected.tensor);
      ops_->HeadLinear(weight, {3, 12, 5, 7}, wide.tensor, found.tensor);
      ExpectClose(found, expected, 4e-6, Cat("head linear of ", cols));
      Owned expected_back(tokens, 3 * (cols + 4), 0), found_back(tokens, 3 * (cols + 4), 0);
      reference_.HeadLinearTransposed(weight, {3, 12, 2, 6}, heads.tensor, 4, expected_back.tensor);
      ops_->HeadLinearTransposed(weight, {3, 12, 2, 6}, heads.tensor, 4, found_back.tensor);
      ExpectClose(found_back, expected_back, 4e-6, Cat("transposed of ", cols));
    }
}

TEST_P(OpsParity, EmbedMasksForeignIds) {
  const PackedWeight table = RandomWeight(DType::kQ8_0, 5, 64, 0, 1);
  const std::vector<int32_t> ids = {10, 14, 9, 15, 12};
  Owned expected = Poisoned(5, 64), found = Poisoned(5, 64);
  reference_.Embed(table, 10, ids, expected.tensor);
  ops_->Embed(table, 10, ids, found.tensor);
  ExpectSameBits(found.values, expected.values, "embed");
  for (const float value : found.tensor.row(2)) EXPECT_EQ(value, 0);
  for (const float value : found.tensor.row(3)) EXPECT_EQ(value, 0);
  EXPECT_NE(found.tensor.row(0)[0], 0);
}

INSTANTIATE_TEST_SUITE_P(Isas, OpsParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

TEST(ReferenceOps, RopeTurnsBothPairings) {
  Ops ops;
  Owned cos(1, 2, 0), sin(1, 2, 0);
  cos.values = {0.6f, 0.0f};
  sin.values = {0.8f, 1.0f};
  Owned half(1, 5, 0), interleaved(1, 5, 0);
  half.values = interleaved.values = {1, 2, 3, 4, 5};
  ops.Rope({cos.tensor, sin.tensor, false}, 5, half.tensor);  // pairs (0, 2), (1, 3); 4 passes through
  ops.Rope({cos.tensor, sin.tensor, true}, 5, interleaved.tensor);
  const std::vector<float> expected_half = {0.6f - 2.4f, -4, 1.8f + 0.8f, 2, 5};
  const std::vector<float> expected_interleaved = {0.6f - 1.6f, 1.2f + 0.8f, -4, 3, 5};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(half.values[i], expected_half[i], 1e-6) << i;
    EXPECT_NEAR(interleaved.values[i], expected_interleaved[i], 1e-6) << i;
  }
}

TEST(ReferenceOps, NormsAndActivationsByHand) {
  Ops ops;
  Owned x(1, 4, 0), y = Poisoned(1, 4);
  x.values = {1, 3, 5, 7};
  const std::vector<float> gain = {1, 1, 2, 2}, bias = {0, 1, 0, 1};
  ops.LayerNorm(x.tensor, 4, gain, bias, 0, y.tensor);  // mean 4, deviation √5
  const std::vector<float> normed = {-1.3416408f, -0.4472136f + 1, 0.8944272f, 2.6832816f + 1};
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(y.values[i], normed[i], 1e-6) << i;
  ops.LayerNorm(x.tensor, 2, {}, {}, 0, y.tensor);
  EXPECT_EQ(y.values, (std::vector<float>{-1, 1, -1, 1}));
  std::vector<float> sums(1);
  ops.SumSquares(x.tensor, 2, sums);
  EXPECT_EQ(sums[0], 74);
  Owned two(1, 2, 0);
  two.values = {5, 7};
  ops.ScaleBySquares(sums, 74, std::vector<float>{1, 2}, 3, two.tensor);
  EXPECT_NEAR(two.values[1], 7, 1e-6);  // 2·7/√(74/74 + 3)
  Owned g(1, 3, 0);
  g.values = {-1, 1, 2};
  Owned erf(g), relu(g), capped(g), clamped(g);
  ops.Activate(GateKind::kGelu, erf.tensor);
  EXPECT_NEAR(erf.values[0], -0.158655254, 1e-6);
  EXPECT_NEAR(erf.values[2], 1.954499736, 1e-6);
  ops.Activate(GateKind::kRelu, relu.tensor);
  EXPECT_EQ(relu.values, (std::vector<float>{0, 1, 2}));
  ops.SoftCap(2, capped.tensor);
  EXPECT_NEAR(capped.values[2], 2 * std::tanh(1.0), 1e-6);
  ops.Clamp(1.5f, clamped.tensor);
  EXPECT_EQ(clamped.values, (std::vector<float>{-1, 1, 1.5f}));
}

TEST(ReferenceOps, BiasOfAKeyGrowsTowardsTheQueryAndIsRoundedFromTheStart) {
  EXPECT_EQ(AttentionShape::Bias(0.5f, 2, false, 3, 7), -4);
  EXPECT_EQ(AttentionShape::Bias(0.5f, 2, true, 3, 7), 3);
  EXPECT_EQ(AttentionShape::Bias(0.3f, 1, true, 301, 400), 90);  // in bf16 0.30078125 · 300 = 90.234 → 90
}

TEST(ReferenceOps, RouteTakesTheBestAndTheLowestIndexOnTies) {
  Ops ops;
  Owned logits(2, 4, 0);
  logits.values = {1, 3, 3, 0, 0, 0, 0, 0};
  std::vector<int32_t> experts(4);
  std::vector<float> weights(4);
  ops.Route({.active = 2, .renormalise = true}, Owned(logits).tensor, experts, weights);
  EXPECT_EQ(experts, (std::vector<int32_t>{1, 2, 0, 1}));
  for (const float weight : weights) EXPECT_NEAR(weight, 0.5, 1e-6);
  Owned again(logits);
  ops.Route({.active = 2}, again.tensor, experts, weights);
  EXPECT_NEAR(weights[2], 0.25, 1e-6);
  Owned sigmoid(logits);
  ops.Route({.active = 2, .score = RouteScore::kSigmoidOfLogits}, sigmoid.tensor, experts, weights);
  EXPECT_NEAR(weights[0], 1 / (1 + std::exp(-3.0)), 1e-6);
}

// Two heads of rows (skipped, used, used) over two columns.
TEST(ReferenceOps, HeadsUseTheirOwnRows) {
  Ops ops;
  PackedWeight weight{DType::kF32, 6, 2, 0, 8, AlignedBytes(48)};
  const float values[] = {9, 9, 1, 2, 3, 4, 9, 9, 5, 6, 7, 8};
  std::memcpy(weight.bytes.data(), values, sizeof values);
  Owned x(1, 4, 0), y = Poisoned(1, 4), back(1, 6, 0), copied(1, 6, 0);
  x.values = {1, 10, 1, 10};
  ops.HeadLinear(weight, {2, 3, 1, 2}, x.tensor, y.tensor);
  EXPECT_EQ(y.values, (std::vector<float>{21, 43, 65, 87}));
  ops.HeadLinearTransposed(weight, {2, 3, 1, 2}, x.tensor, 1, back.tensor);
  EXPECT_EQ(back.values, (std::vector<float>{0, 31, 42, 0, 75, 86}));
  ops.CopyHeads(2, x.tensor, 1, copied.tensor, 2, 1);
  EXPECT_EQ(copied.values, (std::vector<float>{0, 0, 10, 0, 0, 10}));
}

TEST(ReferenceOps, RouteByGroupsChoosesWithTheBiasAndWeighsWithout) {
  Ops ops;
  Owned logits(1, 6, 0);
  logits.values = {std::log(0.5f), std::log(0.4f), std::log(0.05f), std::log(0.02f), std::log(0.02f), std::log(0.01f)};  // softmax: the same
  std::vector<int32_t> experts(2);
  std::vector<float> weights(2);
  // Groups of two: by their best 0.5, 0.05, 0.02; the third is lifted by its bias.
  const std::vector<float> bias = {0, 0, 0, 0, 0.6f, 0};
  ops.Route({.active = 2, .choice_bias = bias, .groups = 3, .kept_groups = 1, .scale = 10}, Owned(logits).tensor, experts, weights);
  EXPECT_EQ(experts, (std::vector<int32_t>{4, 5}));
  EXPECT_NEAR(weights[0], 0.2, 1e-6);
  EXPECT_NEAR(weights[1], 0.1, 1e-6);
  ops.Route({.active = 2, .choice_bias = bias, .groups = 3, .kept_groups = 1, .best_two = true, .renormalise = true, .scale = 3},
            Owned(logits).tensor, experts, weights);  // sums of two: 0.9, 0.07, 0.63
  EXPECT_EQ(experts, (std::vector<int32_t>{0, 1}));
  EXPECT_NEAR(weights[0], 3 * 5.0 / 9, 1e-6);
  ops.Route({.active = 2, .choice_bias = bias}, Owned(logits).tensor, experts, weights);
  EXPECT_EQ(experts, (std::vector<int32_t>{4, 0}));
}

TEST(ReferenceOps, SigmoidGates) {
  Ops ops;
  Owned x(1, 3, 0);
  x.values = {0, std::log(3.0f), -200};
  ops.Sigmoid(x.tensor);
  EXPECT_NEAR(x.values[0], 0.5, 1e-6);
  EXPECT_NEAR(x.values[1], 0.75, 1e-6);
  EXPECT_NEAR(x.values[2], 0, 1e-6);
  Owned pairs(1, 6, 0), y = Poisoned(1, 3);
  pairs.values = {0, 5, 9, 9, -1, -9};
  ops.ClampedPairs(2, 7, pairs.tensor, y.tensor);
  EXPECT_EQ(y.values[0], 0);
  EXPECT_NEAR(y.values[1], 8 * 7 / (1 + std::exp(-14.0)), 1e-5);
  EXPECT_NEAR(y.values[2], -6 * -1 / (1 + std::exp(2.0)), 1e-5);
}

TEST(ReferenceOps, GatherAndScatterAddMoveRows) {
  Ops ops;
  Owned x(3, 2, 0), y = Poisoned(2, 2), out(3, 2, 1);
  x.values = {1, 2, 3, 4, 5, 6};
  const std::vector<int32_t> rows = {2, 0};
  const std::vector<float> weights = {10, 100};
  ops.Gather(x.tensor, rows, y.tensor);
  EXPECT_EQ(y.values, (std::vector<float>{5, 6, 1, 2}));
  ops.ScatterAdd(y.tensor, rows, weights, out.tensor);
  EXPECT_EQ(out.values, (std::vector<float>{101, 201, 1, 1, 51, 61}));
  ops.ScaleRows(std::vector<float>{2, 0, 1}, out.tensor);
  EXPECT_EQ(out.values, (std::vector<float>{202, 402, 0, 0, 51, 61}));
}

TEST(ReadBandwidth, IsMeasured) {
  const absl::StatusOr<double> found = MeasureReadBandwidth(2, 8 << 20, 2);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_GT(*found, 1e6);
}

}  // namespace
}  // namespace drover
