// Products of queries in shared memory and keys in the cache, whose dimensions lie over the lanes of a warp, and what a tile's scores
// do to the softmax.
#pragma once

#include "kernels/cuda/attend_query.cuh"

namespace drover::cuda {

inline constexpr int kKeysAtOnce = 4;  // whose loads a thread has in flight

// The sums over the `lanes` lanes of a key: each lane gets that of query lane / (lanes / kQueries). Lanes are added in the same order
// for every kQueries.
template <int kQueries>
__device__ inline float SumOverLanes(float (&dots)[kQueries], int lanes) {
  int step = lanes / 2;
#pragma unroll
  for (int left = kQueries / 2; left > 0; left /= 2, step /= 2) {
    const bool upper = (threadIdx.x & static_cast<unsigned>(step)) != 0;
#pragma unroll
    for (int i = 0; i < left; ++i) {
      const float kept = upper ? dots[left + i] : dots[i], given = upper ? dots[i] : dots[left + i];
      dots[i] = kept + __shfl_xor_sync(kAllLanes, given, step);
    }
  }
  for (; step > 0; step /= 2) dots[0] += __shfl_xor_sync(kAllLanes, dots[0], step);
  return dots[0];
}

// dots[n][i] = the part of q·k of query i and keys[n] that this lane sums up. q holds, for each query, its vectors' first four
// elements one after the other, then the next four.
template <class T, int kQueries>
__device__ inline void MultiplyKeys(const AttendTask& task, const float* q, int pieces, const T* const (&keys)[kKeysAtOnce],
                                    float (&dots)[kKeysAtOnce][kQueries]) {
  constexpr int kVec = kVector<T>;
  const int dim = static_cast<int>(task.shape.head_dim), lanes = task.cut.key_lanes;
  for (int piece = static_cast<int>(threadIdx.x) % lanes; piece < pieces; piece += lanes) {
    float k[kKeysAtOnce][kVec];
#pragma unroll
    for (int n = 0; n < kKeysAtOnce; ++n) LoadVector(keys[n], piece * kVec, dim, task.cut.wide, k[n]);
#pragma unroll
    for (int part = 0; part < kQueries * kVec / 4; ++part) {
      constexpr int kHalves = kVec / 4;
      float x[4];
      OpenVector(q + 4 * (part * pieces + piece), x);
#pragma unroll
      for (int n = 0; n < kKeysAtOnce; ++n)
#pragma unroll
        for (int c = 0; c < 4; ++c) dots[n][part / kHalves] = fmaf(x[c], k[n][part % kHalves * 4 + c], dots[n][part / kHalves]);
    }
  }
}

// Scores become exp(score - max), zero where the query does not see the key. A warp takes a query, its lanes the keys.
template <int kQueries>
__device__ inline void WeighKeys(int32_t tile, AttendQuery* queries, float* scores) {
  constexpr int kEach = kTileKeys / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int i = static_cast<int>(threadIdx.x) / kWarp; i < kQueries; i += kAttendWarps) {
    AttendQuery& query = queries[i];
    const Softmax before = query.part;
    float score[kEach], best = before.max, total = 0;
    for (int n = 0; n < kEach; ++n) {
      const int32_t key = tile + lane + n * kWarp;
      score[n] = key >= query.first && key <= query.last ? scores[(lane + n * kWarp) * kQueries + i] : -INFINITY;
      best = fmaxf(best, score[n]);
    }
    best = WarpMax(best);
    for (int n = 0; n < kEach; ++n) {
      const float weight = Softmax::Factor(score[n], best);
      scores[(lane + n * kWarp) * kQueries + i] = weight;
      total += weight;
    }
    total = WarpSum(total);
    const float factor = Softmax::Factor(before.max, best);
    __syncwarp();
    if (lane == 0) query.part = {best, fmaf(before.sum, factor, total)}, query.factor = factor;
  }
}

}  // namespace drover::cuda
