// The shared memory of AttendTiles: queries, stages of keys and of values, a tile's scores and weights.
#pragma once

#include "kernels/cuda/attend_query.cuh"

namespace drover::cuda {

inline constexpr int kTilesThreads = 256, kTilesWarps = kTilesThreads / kWarp;
inline constexpr int kTilesKeys = kWarp;  // of a tile: a lane each
inline constexpr int kStep = 16;          // queries, keys or columns that a product of MultiplyTile sums over or gives
inline constexpr int kKeySteps = kTilesKeys / kStep;
inline constexpr int kStagesMost = 4;
inline constexpr int kFill = 8;           // values that rows are longer by, so that eight of them meet all banks

// Where things lie in shared memory, in bytes from its begin.
struct TilesRoom {
  int key_stride, value_stride, score_stride = kTilesKeys + 4, weight_stride = kTilesKeys + kFill;  // in values
  int keys, values, scores, weights, queries, bytes;

  // `apart`: values do not lie in the rows of keys. Each warp has scores of kStep queries and as many keys.
  __host__ __device__ constexpr TilesRoom(int query_count, int stages, int head_dim, int value_dim, bool apart)
      : key_stride(head_dim + kFill),
        value_stride(apart ? value_dim + kFill : head_dim + kFill),
        keys(2 * query_count * key_stride),
        values(keys + 2 * stages * kTilesKeys * key_stride),
        scores(values + (apart ? 2 * stages * kTilesKeys * value_stride : 0)),
        weights(scores + 4 * kTilesWarps / kKeySteps * kStep * score_stride),
        queries(weights + 2 * query_count * weight_stride),
        bytes(queries + query_count * static_cast<int>(sizeof(AttendQuery))) {}
};

// Values of a key's row that are its value: the first of them, or below 0: they lie apart.
__host__ __device__ inline int ValueColumn(const KvLayer& kv, const AttentionShape& shape) {
  const int64_t column = (kv.values - kv.keys) / 2;
  return kv.values >= kv.keys && column % kFill == 0 && column + shape.ValueDim() <= shape.head_dim ? static_cast<int>(column) : -1;
}

}  // namespace drover::cuda
