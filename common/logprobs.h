// Log-probabilities: log-softmax of raw logits, before bias, penalties, masks and temperature; sums in f64.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace drover {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// ln Σ exp(x[i]); the row has at least one value.
double LogSumExp(std::span<const float> row);

// ln p(id) = row[id] - LogSumExp(row).
TokenLogprob LogprobOf(std::span<const float> row, double log_sum_exp, int32_t id);

// The best `count` ids, best first, equal ones by ascending id.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> row, double log_sum_exp, int64_t count);

// What is told of a row that a token was drawn from, where it was drawn.
inline constexpr int32_t kScoresMax = 20;
struct RowScores {
  float logprob = 0;              // of the drawn id
  int32_t count = -1;             // of the best; -1: nothing is told
  TokenLogprob best[kScoresMax];  // as of TopLogprobs
};

}  // namespace drover
