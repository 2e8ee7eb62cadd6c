// See sampler.h.
#include "worker/sampler.h"

#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "worker/philox.h"

namespace drover {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

absl::Status CheckFinite(std::span<const float> row) {
  for (size_t i = 0; i < row.size(); ++i)
    if (!(row[i] < std::numeric_limits<float>::infinity()))
      return Internal("logits[", i, "]: found ", row[i], ", expected a number");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> row, const SampleContext& context) {
  DROVER_RETURN_IF_ERROR(CheckFinite(row));
  logits_.assign(row.begin(), row.end());
  Adjust(context);
  const int32_t id = DrawToken(logits_, RuleOf(context.sampling, context.output.size()), candidates_);
  if (id < 0) return Internal("logits: no id may be sampled");
  return id;
}

// Ids outside the row (a bias or an end id of another vocabulary) have no effect.
float* Sampler::LogitOf(int32_t id) {
  return id >= 0 && static_cast<size_t>(id) < logits_.size() ? &logits_[static_cast<size_t>(id)] : nullptr;
}

void Sampler::Adjust(const SampleContext& context) {
  for (const auto& [id, bias] : context.sampling.logit_bias)
    if (float* x = LogitOf(id)) *x += bias;
  Penalise(context);
  for (const int32_t id : context.banned)
    if (float* x = LogitOf(id)) *x = kNever;
}

// repetition r, over prompt and output: x ← x > 0 ? x / r : x · r.  presence a and frequency f, over the output, where the
// token occurs n > 0 times: x ← x - a - n f.
void Sampler::Penalise(const SampleContext& context) {
  const Sampling& s = context.sampling;
  if (s.repetition_penalty != 1) {
    std::unordered_set<int32_t> seen(context.prompt.begin(), context.prompt.end());
    seen.insert(context.output.begin(), context.output.end());
    const float r = static_cast<float>(s.repetition_penalty);
    for (const int32_t id : seen) {
      if (float* x = LogitOf(id)) *x = *x > 0 ? *x / r : *x * r;
    }
  }
  if (s.presence_penalty == 0 && s.frequency_penalty == 0) return;
  std::unordered_map<int32_t, int64_t> counts;
  for (const int32_t id : context.output) ++counts[id];
  for (const auto& [id, count] : counts)
    if (float* x = LogitOf(id))
      *x -= static_cast<float>(s.presence_penalty + s.frequency_penalty * static_cast<double>(count));
}

DrawRule RuleOf(const Sampling& sampling, size_t position) {
  return {.temperature = sampling.temperature, .top_p = sampling.top_p, .min_p = sampling.min_p,
          .uniform = UniformAt(sampling.seed, position), .top_k = sampling.top_k};
}

bool IsPlain(const SampleContext& context) {
  const Sampling& s = context.sampling;
  return s.repetition_penalty == 1 && s.presence_penalty == 0 && s.frequency_penalty == 0 && s.logit_bias.empty() && context.banned.empty();
}

}  // namespace drover
