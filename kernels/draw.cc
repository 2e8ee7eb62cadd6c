// The plain form of Ops::Draw.
#include <algorithm>
#include <limits>

#include "common/check.h"
#include "kernels/ops.h"

namespace drover {

void Ops::Draw(Tensor logits, std::span<const DrawRule> rules, std::span<int32_t> ids) {
  DROVER_CHECK(static_cast<int64_t>(rules.size()) == logits.rows && rules.size() == ids.size());
  std::vector<DrawCandidate> candidates;
  for (int64_t r = 0; r < logits.rows; ++r) {
    const std::span<const float> row = logits.row(r);
    const bool finite = std::ranges::all_of(row, [](float x) { return x < std::numeric_limits<float>::infinity(); });
    const auto at = static_cast<size_t>(r);
    ids[at] = finite ? DrawToken(row, rules[at], candidates) : kNotFinite;
  }
}

}  // namespace drover
