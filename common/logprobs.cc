// See logprobs.h.
#include "common/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace drover {

double LogSumExp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

TokenLogprob LogprobOf(std::span<const float> row, double log_sum_exp, int32_t id) {
  return {.id = id, .logprob = static_cast<float>(row[static_cast<size_t>(id)] - log_sum_exp)};
}

std::vector<TokenLogprob> TopLogprobs(std::span<const float> row, double log_sum_exp, int64_t count) {
  std::vector<int32_t> ids(row.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto better = [row](int32_t a, int32_t b) {
    const float x = row[static_cast<size_t>(a)], y = row[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto end = ids.begin() + std::min<int64_t>(count, static_cast<int64_t>(ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), better);
  std::vector<TokenLogprob> top;
  for (auto it = ids.begin(); it != end; ++it) top.push_back(LogprobOf(row, log_sum_exp, *it));
  return top;
}

}  // namespace drover
