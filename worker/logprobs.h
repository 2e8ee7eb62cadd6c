// Log-probabilities: log-softmax of raw logits, before bias, penalties and temperature; sums in f64.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/request.h"

namespace drover {

// ln Σ exp(x[i]); the row has at least one value.
double LogSumExp(std::span<const float> row);

// ln p(id) = row[id] - LogSumExp(row).
TokenLogprob LogprobOf(std::span<const float> row, double log_sum_exp, int32_t id);

// The best `count` ids, best first, equal ones by ascending id.
std::vector<TokenLogprob> TopLogprobs(std::span<const float> row, double log_sum_exp, int64_t count);

}  // namespace drover
