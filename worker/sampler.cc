// See sampler.h.
#include "worker/sampler.h"

#include <limits>

#include "worker/philox.h"

namespace drover {
namespace {

absl::Status CheckFinite(std::span<const float> row) {
  for (size_t i = 0; i < row.size(); ++i)
    if (!(row[i] < std::numeric_limits<float>::infinity()))
      return Internal("logits[", i, "]: found ", row[i], ", expected a number");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> row, const TokenDraw& draw) {
  logits_.assign(row.begin(), row.end());
  EditLogits(draw.edits, logits_);
  DROVER_RETURN_IF_ERROR(CheckFinite(logits_));
  AllowOnly(draw.allowed, logits_);
  const int32_t id = DrawToken(logits_, draw.rule, candidates_);
  if (id < 0) return Internal("logits: no id may be sampled");
  return id;
}

DrawRule RuleOf(const Sampling& sampling, int64_t position) {
  return {.temperature = sampling.temperature, .top_p = sampling.top_p, .min_p = sampling.min_p,
          .uniform = UniformAt(sampling.seed, static_cast<uint64_t>(position)), .top_k = sampling.top_k};
}

}  // namespace drover
