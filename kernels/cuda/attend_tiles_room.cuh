// The shared memory of AttendTiles: queries, two stages of keys and of values, a tile's scores and weights.
#pragma once

#include "kernels/cuda/attend_query.cuh"

namespace drover::cuda {

inline constexpr int kTilesThreads = 256, kTilesWarps = kTilesThreads / kWarp;
inline constexpr int kTilesKeys = kWarp;  // of a tile: a lane each
inline constexpr int kStep = 16;          // queries, keys or columns that a product of MultiplyTile sums over or gives
inline constexpr int kFill = 8;           // values that rows are longer by, so that eight of them meet all banks

// Where things lie in shared memory, in bytes from its begin.
struct TilesRoom {
  int key_stride, value_stride, score_stride = kTilesKeys + 4, weight_stride = kTilesKeys + kFill;  // in values
  int64_t keys, values, scores, weights, queries, bytes;

  // `apart`: values do not lie in the rows of keys.
  __host__ __device__ constexpr TilesRoom(int query_count, int head_dim, int value_dim, bool apart)
      : key_stride(head_dim + kFill),
        value_stride(apart ? value_dim + kFill : head_dim + kFill),
        keys(int64_t{2} * query_count * key_stride),
        values(keys + int64_t{2} * 2 * kTilesKeys * key_stride),
        scores(values + (apart ? int64_t{2} * 2 * kTilesKeys * value_stride : 0)),
        weights(scores + int64_t{4} * query_count * score_stride),
        queries(weights + int64_t{2} * query_count * weight_stride),
        bytes(queries + query_count * static_cast<int64_t>(sizeof(AttendQuery))) {}
};

// Values of a key's row that are its value: the first of them, or below 0: they lie apart.
__host__ __device__ inline int ValueColumn(const KvLayer& kv, const AttentionShape& shape) {
  const int64_t column = (kv.values - kv.keys) / 2;
  return kv.values >= kv.keys && column % kFill == 0 && column + shape.ValueDim() <= shape.head_dim ? static_cast<int>(column) : -1;
}

}  // namespace drover::cuda
