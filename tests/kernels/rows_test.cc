// Routing, rows that travel, rotations and the simplest element-wise operations: every back end against the reference.
#include <numeric>

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

class RowsParity : public OpsParity {};

TEST_P(RowsParity, RopeTurnsBothPairingsAndLeavesTheRest) {
  for (const auto& [heads, dim, pairs] : {std::array<int64_t, 3>{1, 2, 1}, {3, 20, 10}, {5, 24, 7}, {2, 130, 64}}) {
    for (const bool interleaved : {false, true}) {
      const Owned cos = Random(7, pairs, 1), sin = Random(7, pairs, 2);
      Owned expected = Random(7, heads * dim, 3), found = expected;
      reference_.Rope({cos.tensor, sin.tensor, interleaved}, dim, expected.tensor);
      ops_->Rope({cos.tensor, sin.tensor, interleaved}, dim, found.tensor);
      ExpectClose(found, expected, 1e-6, Cat("heads of ", dim, ", pairs ", pairs));
    }
  }
}

TEST_P(RowsParity, FactorsSumsAndSigmoids) {
  for (const int64_t cols : {1, 33, 4100}) {
    const Owned factors = Random(1, 5, 1), a = Random(5, cols, 2);
    Owned expected = Random(5, cols, 3), found = expected;
    for (const auto& [ops, x] : {std::pair<Ops*, Tensor>{&reference_, expected.tensor}, {ops_.get(), found.tensor}}) {
      ops->ScaleRows(factors.values, x);
      ops->Add(a.tensor, x);
      ops->Sigmoid(x);
    }
    ExpectClose(found, expected, 1e-6, Cat("columns ", cols));
  }
}

TEST_P(RowsParity, HeadsAreCopiedWhereTheyBelong) {
  const Owned x = Random(5, 3 * 17, 1);
  Owned expected = Random(5, 3 * 11, 2), found = expected;
  reference_.CopyHeads(3, x.tensor, 4, expected.tensor, 2, 9);
  ops_->CopyHeads(3, x.tensor, 4, found.tensor, 2, 9);
  ExpectSameBits(found.values, expected.values, "copied heads");
}

TEST_P(RowsParity, RowsTravelAndComeBack) {
  for (const int64_t cols : {1, 37, 1024}) {
    const Owned x = Random(9, cols, 1);
    const std::vector<int32_t> rows = {8, 0, 3, 4};
    const Owned weights = Random(1, 4, 2);
    Owned expected = Poisoned(4, cols), found = expected;
    reference_.Gather(x.tensor, rows, expected.tensor);
    ops_->Gather(x.tensor, rows, found.tensor);
    ExpectSameBits(found.values, expected.values, "gathered rows");
    Owned sums = Random(9, cols, 3), found_sums = sums;
    reference_.ScatterAdd(expected.tensor, rows, weights.values, sums.tensor);
    ops_->ScatterAdd(expected.tensor, rows, weights.values, found_sums.tensor);
    ExpectClose(found_sums, sums, 1e-6, Cat("scattered rows of ", cols));
  }
}

struct RouteCase {
  const char* name;
  int64_t experts;
  RouteRule rule;
  bool bias = false, tied = false;
};

const RouteCase kRoutes[] = {
    {"one of one", 1, {.active = 1}},
    {"softmax", 60, {.active = 4}},
    {"softmax renormalised", 128, {.active = 8, .renormalise = true}},
    {"all of few", 5, {.active = 5, .scale = 2.5f}},
    {"sigmoid of logits", 16, {.active = 1, .score = RouteScore::kSigmoidOfLogits}},
    {"groups by their best", 60, {.active = 6, .groups = 5, .kept_groups = 2, .scale = 16}},
    {"groups by their best two", 256,
     {.active = 8, .score = RouteScore::kSigmoid, .groups = 8, .kept_groups = 4, .best_two = true, .renormalise = true, .scale = 2.5f}, true},
    {"groups of one", 7, {.active = 2, .score = RouteScore::kSigmoid, .groups = 7, .kept_groups = 3}, true},
    {"ties", 100, {.active = 10}, false, true},
    {"ties in groups", 96, {.active = 10, .score = RouteScore::kSigmoid, .groups = 4, .kept_groups = 2}, false, true},
};

TEST_P(RowsParity, RoutesEqualTheReference) {
  constexpr int64_t kTokens = 13;
  for (const RouteCase& c : kRoutes) {
    Owned logits = Random(kTokens, c.experts, 1);
    if (c.tied) std::ranges::fill(logits.values, 0.25f);
    const Owned bias = Random(1, c.experts, 2);
    RouteRule rule = c.rule;
    if (c.bias) rule.choice_bias = bias.values;
    std::vector<int32_t> expected_experts(static_cast<size_t>(kTokens * rule.active), -1), experts = expected_experts;
    Owned expected = Poisoned(kTokens, rule.active), found = expected;
    Owned first = logits, second = logits;
    reference_.Route(rule, first.tensor, expected_experts, expected.values);
    ops_->Route(rule, second.tensor, experts, found.values);
    EXPECT_EQ(experts, expected_experts) << c.name;
    ExpectClose(found, expected, 2e-6, c.name);
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds, RowsParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
