// The plain form of Ops::Draw.
#include "common/check.h"
#include "kernels/ops.h"

namespace drover {

void Ops::Draw(Tensor logits, std::span<const DrawRule> rules, std::span<int32_t> ids) {
  DROVER_CHECK(static_cast<int64_t>(rules.size()) == logits.rows && rules.size() == ids.size());
  std::vector<DrawCandidate> candidates;
  for (int64_t row = 0; row < logits.rows; ++row)
    ids[static_cast<size_t>(row)] = DrawToken(logits.row(row), rules[static_cast<size_t>(row)], candidates);
}

}  // namespace drover
