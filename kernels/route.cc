// Reference of Ops::Route, Gather and ScatterAdd: which experts a token uses, and the rows that travel to them and back.
#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {
namespace {

// The index of the largest value that is not taken yet; ties to the lowest.
int32_t Best(std::span<const float> values, std::span<const int32_t> taken) {
  int32_t best = -1;
  for (int32_t i = 0; i < static_cast<int32_t>(values.size()); ++i) {
    if (std::ranges::find(taken, i) != taken.end()) continue;
    if (best < 0 || values[static_cast<size_t>(i)] > values[static_cast<size_t>(best)]) best = i;
  }
  return best;
}

void Softmax(std::span<float> values) {
  const float max = *std::ranges::max_element(values);
  float sum = 0;
  for (float& value : values) sum += value = std::exp(value - max);
  for (float& value : values) value /= sum;
}

}  // namespace

void Ops::Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) {
  const auto active = static_cast<size_t>(rule.active);
  DROVER_CHECK(rule.active <= logits.cols && experts.size() == weights.size());
  DROVER_CHECK_EQ(experts.size(), static_cast<size_t>(logits.rows) * active);
  for (int64_t t = 0; t < logits.rows; ++t) {
    const std::span<float> scores = logits.row(t);
    const std::span<int32_t> chosen = experts.subspan(static_cast<size_t>(t) * active, active);
    const std::span<float> weight = weights.subspan(static_cast<size_t>(t) * active, active);
    if (!rule.sigmoid) Softmax(scores);
    float sum = 0;
    for (size_t k = 0; k < active; ++k) {
      chosen[k] = Best(scores, chosen.first(k));
      const float score = scores[static_cast<size_t>(chosen[k])];
      weight[k] = rule.sigmoid ? 1 / (1 + std::exp(-score)) : score;
      sum += weight[k];
    }
    if (!rule.renormalise || rule.sigmoid) continue;
    for (float& value : weight) value /= sum;
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
