// How much memory a step takes: fixed when the decoder is made, so that no step allocates activations.
#pragma once

#include "kernels/ops.h"
#include "models/shard.h"

namespace drover {

struct StepSize {
  int64_t tokens = 0, logit_rows = 0;  // rows of logits made at a time
};
inline constexpr int64_t kScoreFloats = sizeof(RowScores) / sizeof(float);

// Floats of the largest step on this rank; what decoder.cc and layer.cc take from the arena, added up.
int64_t StepFloats(const ModelSpec& spec, const RankCut& cut, const StepSize& size, const Ops& ops);

// Columns of the widest weight on any rank.
int64_t WidestColumns(const ModelSpec& spec);

}  // namespace drover
