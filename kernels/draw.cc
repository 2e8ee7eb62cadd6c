// The plain form of Ops::Draw.
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

}  // namespace drover
