// The plain form of Ops::Experts: one expert after the other, over the tokens that chose it.
#include <algorithm>

#include "common/check.h"
#include "kernels/ops.h"
#include "kernels/room.h"

namespace drover {
namespace {

// The expert's values before its down matrix.
Tensor Inner(Ops& ops, const ExpertSet& set, const FfnWeights& w, Tensor x, Room& room) {
  if (set.pairs) {
    const Tensor both = room.Take(x.rows, 2 * set.columns), inner = room.Take(x.rows, set.columns);
    ops.Linear(w.pairs, w.pairs_bias, x, both);
    ops.ClampedPairs(set.pairs->alpha, set.pairs->limit, both, inner);
    return inner;
  }
  const Tensor up = room.Take(x.rows, set.columns);
  ops.Linear(w.up, w.up_bias, x, up);
  if (!set.gated) {
    ops.Activate(set.kind, up);
    return up;
  }
  const Tensor gate = room.Take(x.rows, set.columns);
  ops.Linear(w.gate, w.gate_bias, x, gate);
  ops.GatedProduct(set.kind, gate, up, gate);
  return gate;
}

}  // namespace

int64_t Ops::ExpertRoom(int64_t tokens, int64_t, int64_t hidden, int64_t columns) const {
  return 2 * Room::Rounded(tokens * hidden) + Room::Rounded(2 * tokens * columns) + Room::Rounded(tokens * columns) + Room::Rounded(tokens);
}

// A stable counting sort of the pairs (token, choice) by own expert.
void Ops::SortByExpert(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, size_t active) {
  const auto count = static_cast<int64_t>(set.own.size());
  const auto own = [&](int32_t expert) { return expert >= set.first && expert < set.first + count; };
  expert_begins_.assign(static_cast<size_t>(count) + 1, 0);
  for (const int32_t expert : experts)
    if (own(expert)) ++expert_begins_[static_cast<size_t>(expert - set.first)];
  for (size_t e = 1; e < expert_begins_.size(); ++e) expert_begins_[e] += expert_begins_[e - 1];
  expert_rows_.resize(expert_begins_.back());
  expert_weights_.resize(expert_rows_.size());
  for (size_t i = experts.size(); i-- > 0;) {  // from the last on: each expert's end moves to its beginning
    if (!own(experts[i])) continue;
    const size_t at = --expert_begins_[static_cast<size_t>(experts[i] - set.first)];
    expert_rows_[at] = static_cast<int32_t>(i / active);
    expert_weights_[at] = weights[i];
  }
}

void Ops::Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x, std::span<float> room,
                  Tensor out) {
  DROVER_CHECK(x.rows == out.rows && x.cols == out.cols && experts.size() == weights.size());
  if (x.rows == 0) return;
  const auto tokens = static_cast<size_t>(x.rows);
  SortByExpert(set, experts, weights, experts.size() / tokens);
  for (size_t e = 0; e < set.own.size(); ++e) {
    // More rows than tokens only where a router that is not a number chose an expert twice.
    for (size_t begin = expert_begins_[e], end = 0; begin < expert_begins_[e + 1]; begin = end) {
      end = std::min(begin + tokens, expert_begins_[e + 1]);
      const std::span<const int32_t> rows = std::span<const int32_t>(expert_rows_).subspan(begin, end - begin);
      const std::span<float> factors = std::span(expert_weights_).subspan(begin, end - begin);
      Room left(room);
      const Tensor input = left.Take(static_cast<int64_t>(rows.size()), x.cols), y = left.Take(input.rows, x.cols);
      Gather(x, rows, input);
      if (set.scale_input) {
        ScaleRows(factors, input);
        std::ranges::fill(factors, 1.0f);
      }
      Linear(set.own[e].down, set.own[e].down_bias, Inner(*this, set, set.own[e], input, left), y);
      ScatterAdd(y, rows, factors, out);
    }
  }
}

}  // namespace drover
