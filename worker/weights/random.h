// Random weights for benchmarks and tests: every element depends on the seed and on its name, row and column alone, so that all
// cuts of a model are parts of the same model.
#pragma once

#include <cstdint>

#include "models/shard.h"
#include "kernels/ops.h"
#include "models/spec.h"
#include "worker/model/rank_weights.h"

namespace drover {

// Matrices in `dtype` (f32, f16, bf16, q8_0, q4_0, q4_1) with elements of variance about 1/columns, norms around 1, small biases.
// They are made by `ops` where it computes, or on the host. kInvalidArgument when a block format does not fit a matrix's columns.
absl::StatusOr<RankWeights> RandomRankWeights(const ModelSpec& spec, const RankCut& cut, uint64_t seed, DType dtype,
                                              Ops* ops = nullptr);

}  // namespace drover
