// StepPlan: the scheduler's decision as plain data; every rank of a group receives the same one and runs it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/draw.h"
#include "common/logprobs.h"
#include "common/request.h"

namespace drover {

// A run of consecutive new tokens of one sequence: a decode step has one, a prefill chunk many.
struct StepSequence {
  uint64_t id = 0;
  int64_t position = 0;         // of tokens[0] in its sequence; earlier positions are in the KV cache
  std::vector<int32_t> tokens;
  std::vector<int32_t> blocks;  // block i holds positions [i·block_tokens, (i+1)·block_tokens)
  int64_t length = 0;           // of the sequence when this pass over it began, for keys that depend on it; 0: it ends with these
  LogitsWanted logits = LogitsWanted::kNone;  // kLast: of the last token; kAll: of every token here
  int64_t part = 0;             // the attention part that runs it and holds these blocks
  // Of the row of the last token, on the leader: a token drawn so does as well as the row. It does not travel to followers. At most
  // kEditsMax edits; these and the mask outlive the step.
  std::optional<TokenDraw> draw = {};

  int64_t end() const { return position + static_cast<int64_t>(tokens.size()); }
  bool operator==(const StepSequence&) const = default;
};

struct StepPlan {
  uint64_t step = 0;
  std::vector<StepSequence> sequences;
  bool empty() const { return sequences.empty(); }
  int64_t tokens() const;
  int64_t logit_rows() const;
  bool operator==(const StepPlan&) const = default;
};

// "a[0,8) b[5,9)"-style text for tests and logs: id[first position, end position).
std::string ToString(const StepPlan& plan);

// Logits of the rows that the plan asked for, in plan order; complete on rank 0, empty on others.
struct StepLogits {
  int64_t rows = 0, vocab = 0;
  std::vector<float> values;     // [rows that were not drawn from, vocab]
  std::vector<int32_t> drawn;    // of each row the token drawn from it, or kNotDrawn; empty: none was drawn from
  std::vector<RowScores> scores = {};  // of each row, where its draw asks for them; empty: none does
  // From the results of the step before to the first operation of this one: the host's own time. Not of a runner's first step.
  std::optional<double> gap_seconds = {};
};
inline constexpr int32_t kNotDrawn = -3;  // see kNothingToDraw for the others

}  // namespace drover
