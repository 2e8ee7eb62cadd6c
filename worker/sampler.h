// Sampler: logits to a token id. A token depends on the logits row, the parameters, the seed, the output position and the
// sequence's own history (its edits); never on batch neighbours, on the step it fell into, or on earlier calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/draw.h"
#include "common/request.h"

namespace drover {

// The rule of the draw at an output position.
DrawRule RuleOf(const Sampling& sampling, int64_t position);

// One thread; it keeps scratch memory only.
class Sampler {
 public:
  // Edits, allowed ids, temperature, top-k, top-p, min-p, draw; temperature 0 takes the highest logit, the lowest id of equals.
  // kInternal when the row, edited, holds NaN or +inf, or no id may be sampled.
  absl::StatusOr<int32_t> Sample(std::span<const float> row, const TokenDraw& draw);

 private:
  std::vector<float> logits_;
  std::vector<DrawCandidate> candidates_;
};

}  // namespace drover
