// Attention over a cache in bf16 on tensor cores: queries and weights of keys rounded to bf16, sums in f32. A query's bits depend on
// whether its keys are cut into several parts, so that a row of a long prompt may differ in them from the same row decoded.
#pragma once

#include "kernels/cuda/attend_parts.h"
#include "kernels/cuda/device.h"

namespace drover::cuda {

struct AttendTask;

// Lets the kernels have as much shared memory as the device gives a block, and says how much that is.
absl::StatusOr<int64_t> PrepareTiles(const CudaDevice& device);
// Whether they can do it within that much: vectors at multiples of 16 bytes, sizes of heads that are multiples of 16, values of at most 512.
bool TilesCover(const AttendTask& task, int64_t shared_bytes);
struct TilesLimits {
  int64_t shared_bytes = 0;  // of a block
  int64_t blocks = 0;        // CudaOptions::attend_blocks
};
// Of `items` items of at most `rows` rows each; task.cut.parts blocks each, if any.
void LaunchTiles(AttendTask task, int64_t items, int64_t rows, const TilesLimits& limits, cudaStream_t stream);

}  // namespace drover::cuda
