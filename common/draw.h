// Drawing a token from a row of logits: one rule for the host's sampler and for back ends that draw where the logits lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace drover {

// weight_i = exp((x_i - max x) / temperature). Of all ids the top_k best stay (0: all), of these the fewest best whose weights reach
// top_p of what stayed, of these those with at least min_p of the best's weight. Better is the higher logit, then the lower id. The
// drawn id is the one at which the running sum of weights passes uniform·total, running from the best on where top_k or top_p is in
// force, and by id otherwise. temperature 0: the best.
struct DrawRule {
  double temperature = 1;  // >= 0
  double top_p = 1;        // (0, 1]
  double min_p = 0;        // [0, 1]
  double uniform = 0;      // [0, 1)
  int64_t top_k = 0;
  bool operator==(const DrawRule&) const = default;
};

// What is done to one logit before the draw.
struct LogitEdit {
  int32_t id = 0;
  float bias = 0;
  float repetition = 1;  // > 0
  float penalty = 0;     // +inf: the id may not be drawn
  bool operator==(const LogitEdit&) const = default;
};

// y = x + bias; y / repetition if y > 0, else y·repetition; of that - penalty. Each operation is rounded to f32 by itself, whoever
// computes it: its callers are compiled without fused multiply-add.
constexpr float Edited(const LogitEdit& edit, float x) {
  const float y = x + edit.bias;
  return (y > 0 ? y / edit.repetition : y * edit.repetition) - edit.penalty;
}

// A mask of ids: bit id % 32 of word id / 32 says whether the id may be drawn. Ids beyond its words may not; an empty mask lets all.
constexpr int64_t MaskWords(int64_t ids) { return (ids + 31) / 32; }
constexpr bool Allows(std::span<const uint32_t> mask, uint32_t id) {
  return mask.empty() || (id / 32 < mask.size() && (mask.data()[id / 32] >> id % 32 & 1) != 0);
}

// How a token is drawn from a row: edits first, then ids that are not allowed become -inf, then the rule. No two edits have the same
// id; ids outside the row have no effect.
struct TokenDraw {
  DrawRule rule;
  std::span<const LogitEdit> edits = {};  // somebody else's
  // A mask, somebody else's. Of a planned step, the thread that asked for it fills these words while the step computes (see Meanwhile):
  // only their number is known before; nobody reads them earlier.
  std::span<const uint32_t> allowed = {};
  // The log-probabilities of the drawn id and of so many best ones are wanted too; -1: none. At most kScoresMax.
  int32_t scores = -1;
  bool operator==(const TokenDraw& other) const {
    return rule == other.rule && scores == other.scores && std::ranges::equal(edits, other.edits) &&
           std::ranges::equal(allowed, other.allowed);
  }
};
// Of one row that is drawn from on a device: 128 KiB of a step's memory.
inline constexpr int64_t kEditsMax = 8192;

// Instead of an id.
inline constexpr int32_t kNothingToDraw = -1;  // every logit is -inf, or became so
inline constexpr int32_t kNotFinite = -2;      // a logit is NaN or +inf, or became so by an edit, whether its id is allowed or not

struct DrawCandidate {
  float logit;
  int32_t id;
  double weight = 0;
};

void EditLogits(std::span<const LogitEdit> edits, std::span<float> logits);
// Ids that the mask does not allow become -inf.
void AllowOnly(std::span<const uint32_t> mask, std::span<float> logits);

// An id, or kNothingToDraw. No logit is NaN or +inf. `candidates` is room that is used again.
int32_t DrawToken(std::span<const float> logits, const DrawRule& rule, std::vector<DrawCandidate>& candidates);

}  // namespace drover
