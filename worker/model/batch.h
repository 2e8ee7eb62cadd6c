// Batch: a step plan that was checked against the model and the KV cache, laid out as rows of tensors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "models/shard.h"
#include "worker/step_plan.h"

namespace drover {

struct BatchLimits {
  int64_t vocab = 0;
  int64_t max_step_tokens = 0, max_sequences = 0;
  int64_t kv_blocks = 0, block_tokens = 0;  // blocks of each attention part
  int64_t attention_parts = 1, part = 0;    // how many, and this rank's
};

struct Batch {
  uint64_t step = 0;
  std::vector<int32_t> ids;           // of each row; the rows of an attention part lie together, part after part
  std::vector<int64_t> positions;     // of each row
  std::vector<Range> part_rows;       // of each attention part
  Range own_rows;                     // of this rank's
  std::vector<SequenceRows> sequences;  // of this rank's part; their first rows are counted from own_rows.begin
  std::vector<int64_t> lengths;       // of each of these, when this pass over it began
  std::vector<int32_t> logit_rows;    // in plan order
  std::vector<const TokenDraw*> draws;  // of each of them, null: none; points into the plan

  int64_t rows() const { return static_cast<int64_t>(ids.size()); }
};

// Every rank checks the whole plan: ids, positions and blocks in range, within the limits, no block written by two sequences.
// kInvalidArgument names sequence and field. The batch points into the plan's block lists.
absl::StatusOr<Batch> MakeBatch(const StepPlan& plan, const BatchLimits& limits);

// Whether every sequence is one token whose logits are asked for: a step of decoding.
bool IsDecoding(const Batch& batch);

// Adds rows up to `rows`, each a sequence of one token at the beginning of the blocks `spare`, whose logits are asked for and worth
// nothing. Of a step of decoding, with one attention part.
void Pad(Batch& batch, int64_t rows, std::span<const int32_t> spare);

}  // namespace drover
