// Sampler: logits to a token id. A token depends on the logits row, the parameters, the seed, the output position and the
// sequence's own history; never on batch neighbours, on the step it fell into, or on earlier calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/draw.h"
#include "common/request.h"

namespace drover {

struct SampleContext {
  const Sampling& sampling;
  std::span<const int32_t> prompt, output;  // the history; output.size() is the position of the token to sample
  std::span<const int32_t> banned = {};     // ids that may not be sampled now, e.g. end ids before min_tokens
};

// The rule of the draw at an output position.
DrawRule RuleOf(const Sampling& sampling, size_t position);
// Whether the row is drawn from as it is, without bias, penalties or banned ids.
bool IsPlain(const SampleContext& context);

// One thread; it keeps scratch memory only.
class Sampler {
 public:
  // Bias, penalties, temperature, top-k, top-p, min-p, draw; temperature 0 takes the highest logit, the lowest id of equals.
  // kInternal when the row holds NaN or +inf, or no id may be sampled.
  absl::StatusOr<int32_t> Sample(std::span<const float> row, const SampleContext& context);

 private:
  float* LogitOf(int32_t id);
  void Adjust(const SampleContext& context);
  void Penalise(const SampleContext& context);

  std::vector<float> logits_;
  std::vector<DrawCandidate> candidates_;
};

}  // namespace drover
