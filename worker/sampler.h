// Sampler: logits to a token id. A token depends on the logits row, the parameters, the seed, the output position and the
// sequence's own history; never on batch neighbours, on the step it fell into, or on earlier calls.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/request.h"

namespace drover {

struct SampleContext {
  const Sampling& sampling;
  std::span<const int32_t> prompt, output;  // the history; output.size() is the position of the token to sample
  std::span<const int32_t> banned = {};     // ids that may not be sampled now, e.g. end ids before min_tokens
};

// One thread; it keeps scratch memory only.
class Sampler {
 public:
  // Bias, penalties, temperature, top-k, top-p, min-p, draw; temperature 0 takes the highest logit, the lowest id of equals.
  // kInternal when the row holds NaN or +inf, or no id may be sampled.
  absl::StatusOr<int32_t> Sample(std::span<const float> row, const SampleContext& context);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight = 0;  // proportional to the probability
  };
  // Higher logit first, then lower id: a total order.
  static bool Better(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

  float* LogitOf(int32_t id);
  void Adjust(const SampleContext& context);
  void Penalise(const SampleContext& context);
  absl::StatusOr<int32_t> Greedy() const;
  void KeepTopK(int64_t k);
  void KeepTopP(double p);
  void KeepMinP(double p);
  int32_t Draw(double uniform) const;

  std::vector<float> logits_;
  std::vector<Candidate> candidates_;
};

}  // namespace drover
