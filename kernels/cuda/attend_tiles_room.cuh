// The shared memory of attention on tensor cores: queries, stages of keys and of values, a tile's scores and weights.
#pragma once

#include "kernels/cuda/attend_query.cuh"

namespace drover::cuda {

inline constexpr int kTilesKeys = kWarp;  // of a tile
inline constexpr int kStep = 16;          // queries, keys or columns that a product of MultiplyTile sums over or gives
inline constexpr int kKeySteps = kTilesKeys / kStep;
inline constexpr int kStagesMost = 4;
inline constexpr int kFill = 8;    // values that rows are longer by, so that eight of them meet all banks
inline constexpr int kSlices = 4;  // of the dimensions of heads, see AttendStages

struct TilesRows {
  int queries = 0, scores = 0, weights = 0;  // scores and weights: that lie in shared memory
};

// Where things lie in shared memory, in bytes from its begin.
struct TilesRoom {
  int key_stride, value_stride, score_stride = kTilesKeys + kFill, weight_stride = kTilesKeys + kFill;  // in values
  int scores = 0;  // in the place of the queries: who has scores there has fetched these before
  int keys, values, weights, queries, bytes;

  // `apart`: values do not lie in the rows of keys.
  __host__ __device__ constexpr TilesRoom(const TilesRows& rows, int stages, int head_dim, int value_dim, bool apart)
      : key_stride(head_dim + kFill),
        value_stride(apart ? value_dim + kFill : head_dim + kFill),
        keys(std::max(2 * rows.queries * key_stride, 4 * rows.scores * score_stride)),
        values(keys + 2 * stages * kTilesKeys * key_stride),
        weights(values + (apart ? 2 * stages * kTilesKeys * value_stride : 0)),
        queries(weights + 2 * rows.weights * weight_stride),
        bytes(queries + rows.queries * static_cast<int>(sizeof(AttendQuery))) {}
};

// Values of a key's row that are its value: the first of them, or below 0: they lie apart.
__host__ __device__ inline int ValueColumn(const KvLayer& kv, const AttentionShape& shape) {
  const int64_t column = (kv.values - kv.keys) / 2;
  return kv.values >= kv.keys && column % kFill == 0 && column + shape.ValueDim() <= shape.head_dim ? static_cast<int>(column) : -1;
}

}  // namespace drover::cuda
