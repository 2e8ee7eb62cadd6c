// See sampler.h.
#include "worker/sampler.h"

#include <algorithm>
#include <cmath>
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
  const Sampling& sampling = context.sampling;
  logits_.assign(row.begin(), row.end());
  Adjust(context);
  DROVER_ASSIGN_OR_RETURN(const int32_t best, Greedy());
  if (sampling.temperature == 0) return best;

  const float largest = logits_[static_cast<size_t>(best)];
  candidates_.clear();
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (logits_[i] == kNever) continue;
    const double weight = std::exp((static_cast<double>(logits_[i]) - largest) / sampling.temperature);
    candidates_.push_back({.logit = logits_[i], .id = static_cast<int32_t>(i), .weight = weight});
  }
  if (sampling.top_k > 0) KeepTopK(sampling.top_k);
  if (sampling.top_p < 1) KeepTopP(sampling.top_p);
  if (sampling.min_p > 0) KeepMinP(sampling.min_p);
  return Draw(UniformAt(sampling.seed, context.output.size()));
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

absl::StatusOr<int32_t> Sampler::Greedy() const {
  const auto best = std::max_element(logits_.begin(), logits_.end());  // the first of equals
  if (best == logits_.end() || *best == kNever) return Internal("logits: no id may be sampled");
  return static_cast<int32_t>(best - logits_.begin());
}

void Sampler::KeepTopK(int64_t k) {
  const auto end = candidates_.begin() + std::min<int64_t>(k, static_cast<int64_t>(candidates_.size()));
  std::partial_sort(candidates_.begin(), end, candidates_.end(), Better);
  candidates_.erase(end, candidates_.end());
}

// The shortest list of best ids whose probability reaches p; at least one id.
void Sampler::KeepTopP(double p) {
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  double sum = 0;
  // Sorted in growing pieces: usually a few ids out of a large vocabulary are enough.
  const int64_t all = static_cast<int64_t>(candidates_.size());
  for (int64_t from = 0, to = 0; from < all; from = to) {
    to = std::min(all, from == 0 ? int64_t{64} : from * 8);
    std::partial_sort(candidates_.begin() + from, candidates_.begin() + to, candidates_.end(), Better);
    for (int64_t i = from; i < to; ++i) {
      sum += candidates_[static_cast<size_t>(i)].weight;
      if (sum < p * total) continue;
      candidates_.resize(static_cast<size_t>(i) + 1);
      return;
    }
  }
}

void Sampler::KeepMinP(double p) {
  double largest = 0;
  for (const Candidate& c : candidates_) largest = std::max(largest, c.weight);
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < p * largest; });
}

int32_t Sampler::Draw(double uniform) const {
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  double left = uniform * total;
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  // Rounding only: the last id that can be drawn.
  const auto last = std::find_if(candidates_.rbegin(), candidates_.rend(), [](const Candidate& c) { return c.weight > 0; });
  return last->id;
}

}  // namespace drover
