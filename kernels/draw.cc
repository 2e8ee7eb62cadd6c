// The plain forms of Ops::Draw and Ops::ScoreDrawn.
#include <algorithm>
#include <limits>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {

void Ops::Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) {
  DROVER_CHECK(static_cast<int64_t>(draws.size()) == logits.rows && draws.size() == ids.size());
  std::vector<DrawCandidate> candidates;
  for (int64_t r = 0; r < logits.rows; ++r) {
    const auto at = static_cast<size_t>(r);
    const std::span<float> row = logits.row(r);
    EditLogits(draws[at].edits, row);
    const bool finite = std::ranges::all_of(row, [](float x) { return x < std::numeric_limits<float>::infinity(); });
    AllowOnly(draws[at].allowed, row);
    ids[at] = finite ? DrawToken(row, draws[at].rule, candidates) : kNotFinite;
  }
}

void Ops::ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) {
  DROVER_CHECK(static_cast<int64_t>(draws.size()) == logits.rows && draws.size() == ids.size() && draws.size() == scores.size());
  for (size_t r = 0; r < draws.size(); ++r) {
    scores[r] = {};
    if (draws[r].scores < 0 || ids[r] < 0) continue;
    const std::span<const float> row = logits.row(static_cast<int64_t>(r));
    const double log_sum_exp = LogSumExp(row);
    const std::vector<TokenLogprob> best = TopLogprobs(row, log_sum_exp, std::min(draws[r].scores, kScoresMax));
    scores[r] = {.logprob = LogprobOf(row, log_sum_exp, ids[r]).logprob, .count = static_cast<int32_t>(best.size()), .best = {}};
    std::ranges::copy(best, scores[r].best);
  }
}

}  // namespace drover
