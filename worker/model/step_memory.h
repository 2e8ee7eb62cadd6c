// How much memory a step takes: fixed when the decoder is made, so that no step allocates activations.
#pragma once

#include "models/shard.h"

namespace drover {

// Floats of the largest step of `tokens` tokens on this rank; what decoder.cc and layer.cc take from the arena, added up.
int64_t StepFloats(const ModelSpec& spec, const RankCut& cut, int64_t tokens);

// Columns of the widest weight on any rank.
int64_t WidestColumns(const ModelSpec& spec);

}  // namespace drover
