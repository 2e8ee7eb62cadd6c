// See draw.h.
#include "common/draw.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace drover {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
using Candidates = std::vector<DrawCandidate>;

// Higher logit first, then lower id: a total order.
bool Better(const DrawCandidate& a, const DrawCandidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

double Total(const Candidates& candidates) {
  double total = 0;
  for (const DrawCandidate& c : candidates) total += c.weight;
  return total;
}

void KeepTopK(int64_t k, Candidates& candidates) {
  const auto end = candidates.begin() + std::min<int64_t>(k, static_cast<int64_t>(candidates.size()));
  std::partial_sort(candidates.begin(), end, candidates.end(), Better);
  candidates.erase(end, candidates.end());
}

// The shortest list of best ids whose probability reaches p; at least one id.
void KeepTopP(double p, Candidates& candidates) {
  const double total = Total(candidates);
  double sum = 0;
  // Sorted in growing pieces: usually a few ids out of a large vocabulary are enough.
  const int64_t all = static_cast<int64_t>(candidates.size());
  for (int64_t from = 0, to = 0; from < all; from = to) {
    to = std::min(all, from == 0 ? int64_t{64} : from * 8);
    std::partial_sort(candidates.begin() + from, candidates.begin() + to, candidates.end(), Better);
    for (int64_t i = from; i < to; ++i) {
      sum += candidates[static_cast<size_t>(i)].weight;
      if (sum < p * total) continue;
      candidates.resize(static_cast<size_t>(i) + 1);
      return;
    }
  }
}

void KeepMinP(double p, Candidates& candidates) {
  double largest = 0;
  for (const DrawCandidate& c : candidates) largest = std::max(largest, c.weight);
  std::erase_if(candidates, [&](const DrawCandidate& c) { return c.weight < p * largest; });
}

int32_t Drawn(double uniform, const Candidates& candidates) {
  double left = uniform * Total(candidates);
  for (const DrawCandidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  // Rounding only: the last id that can be drawn.
  const auto last = std::find_if(candidates.rbegin(), candidates.rend(), [](const DrawCandidate& c) { return c.weight > 0; });
  return last->id;
}

}  // namespace

void EditLogits(std::span<const LogitEdit> edits, std::span<float> logits) {
  for (const LogitEdit& edit : edits) {
    if (edit.id < 0 || static_cast<size_t>(edit.id) >= logits.size()) continue;
    float& x = logits[static_cast<size_t>(edit.id)];
    x = Edited(edit, x);
  }
}

void AllowOnly(std::span<const uint32_t> mask, std::span<float> logits) {
  for (size_t i = 0; i < logits.size(); ++i)
    if (!Allows(mask, static_cast<uint32_t>(i))) logits[i] = kNever;
}

int32_t DrawToken(std::span<const float> logits, const DrawRule& rule, Candidates& candidates) {
  const auto best = std::ranges::max_element(logits);  // the first of equals
  if (best == logits.end() || *best == kNever) return kNothingToDraw;
  if (rule.temperature == 0) return static_cast<int32_t>(best - logits.begin());
  candidates.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == kNever) continue;
    const double weight = std::exp((static_cast<double>(logits[i]) - *best) / rule.temperature);
    candidates.push_back({.logit = logits[i], .id = static_cast<int32_t>(i), .weight = weight});
  }
  if (rule.top_k > 0) KeepTopK(rule.top_k, candidates);
  if (rule.top_p < 1) KeepTopP(rule.top_p, candidates);
  if (rule.min_p > 0) KeepMinP(rule.min_p, candidates);
  return Drawn(rule.uniform, candidates);
}

}  // namespace drover
