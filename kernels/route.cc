// Reference of Ops::Route, Gather and ScatterAdd: which experts a token uses, and the rows that travel to them and back.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

// The index of the largest value, ties to the lowest. The value is taken out.
int32_t TakeBest(std::span<float> values) {
  size_t best = 0;
  for (size_t i = 1; i < values.size(); ++i)
    if (values[i] > values[best]) best = i;
  values[best] = kNone;
  return static_cast<int32_t>(best);
}

void Softmax(std::span<float> values) {
  const float max = *std::ranges::max_element(values);
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - max);
  for (float& value : values) value /= sum;
}

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void Score(RouteScore score, std::span<float> logits) {
  if (score == RouteScore::kSoftmax) Softmax(logits);
  if (score == RouteScore::kSigmoid)
    for (float& value : logits) value = Sigmoid(value);
}

float GroupScore(std::span<const float> group, bool best_two) {
  float best = kNone, second = kNone;
  for (const float value : group) {
    second = std::max(second, std::min(best, value));
    best = std::max(best, value);
  }
  return best_two ? best + second : best;
}

// Takes the experts of all but the best groups out of the choice.
void KeepGroups(const RouteRule& rule, std::span<float> choice) {
  const size_t size = choice.size() / static_cast<size_t>(rule.groups);
  std::vector<float> scores;
  for (size_t first = 0; first < choice.size(); first += size) scores.push_back(GroupScore(choice.subspan(first, size), rule.best_two));
  std::vector<bool> kept(scores.size(), false);
  for (int64_t k = 0; k < rule.kept_groups; ++k) kept[static_cast<size_t>(TakeBest(scores))] = true;
  for (size_t i = 0; i < choice.size(); ++i)
    if (!kept[i / size]) choice[i] = kNone;
}

// The best experts by `scores` and their weights; `choice` is room for as many values.
void RouteToken(const RouteRule& rule, std::span<const float> scores, std::span<float> choice, std::span<int32_t> experts,
                std::span<float> weights) {
  std::ranges::copy(scores, choice.begin());
  for (size_t i = 0; i < rule.choice_bias.size(); ++i) choice[i] += rule.choice_bias[i];
  if (rule.kept_groups < rule.groups) KeepGroups(rule, choice);
  float sum = 1e-20f;
  for (size_t k = 0; k < experts.size(); ++k) {
    experts[k] = TakeBest(choice);
    const float score = scores[static_cast<size_t>(experts[k])];
    weights[k] = rule.score == RouteScore::kSigmoidOfLogits ? Sigmoid(score) : score;
    sum += weights[k];
  }
  const float scale = rule.renormalise ? rule.scale / sum : rule.scale;
  for (float& weight : weights) weight *= scale;
}

}  // namespace

void Ops::Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) {
  const auto active = static_cast<size_t>(rule.active);
  DROVER_CHECK(rule.active <= logits.cols && experts.size() == weights.size() && logits.cols % rule.groups == 0);
  DROVER_CHECK(rule.choice_bias.empty() || static_cast<int64_t>(rule.choice_bias.size()) == logits.cols);
  DROVER_CHECK_EQ(experts.size(), static_cast<size_t>(logits.rows) * active);
  std::vector<float> choice(static_cast<size_t>(logits.cols));
  for (int64_t t = 0; t < logits.rows; ++t) {
    const size_t first = static_cast<size_t>(t) * active;
    Score(rule.score, logits.row(t));
    RouteToken(rule, logits.row(t), choice, experts.subspan(first, active), weights.subspan(first, active));
  }
}

void Ops::Gather(Tensor x, std::span<const int32_t> rows, Tensor y) {
  DROVER_CHECK(static_cast<int64_t>(rows.size()) == y.rows && x.cols == y.cols);
  for (int64_t i = 0; i < y.rows; ++i) std::ranges::copy(x.row(rows[static_cast<size_t>(i)]), y.row(i).begin());
}

void Ops::ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out) {
  DROVER_CHECK(static_cast<int64_t>(rows.size()) == x.rows && rows.size() == weights.size() && x.cols == out.cols);
  for (int64_t i = 0; i < x.rows; ++i) {
    const float* from = x.row(i).data();
    float* to = out.row(rows[static_cast<size_t>(i)]).data();
    for (int64_t c = 0; c < x.cols; ++c) to[c] += weights[static_cast<size_t>(i)] * from[c];
  }
}

}  // namespace drover
