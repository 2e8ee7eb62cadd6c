// What the kernels of paged attention share: what a block of threads takes on, the cache's elements, and the merging of partial
// results.
#pragma once

#include "kernels/cuda/attend_cut.h"
#include "kernels/cuda/attend_parts.h"
#include "kernels/cuda/bf16.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/step_places.h"

namespace drover::cuda {

inline constexpr int kAttendThreads = 128, kAttendWarps = kAttendThreads / kWarp;
inline constexpr int kTileKeys = 64;

struct AttendTask {
  const float* q = nullptr;
  float* y = nullptr;
  const AttendItem* items = nullptr;
  const int32_t* blocks = nullptr;
  KvLayer kv;
  AttentionShape shape;
  AttendCut cut;
  int32_t part_keys = 0;  // LeastPartKeys
  int token_shift = -1;   // kv.block_tokens is 2 to the power of it, if it is such a power
  // Results of parts: for each [slot, head, part] the highest score and the sum, and the sums of values. A launch's items have
  // cut.rows_each slots each, for their rows.
  float* softmax = nullptr;
  float* values = nullptr;

  __device__ int64_t PartAt(int64_t slot, int64_t head, int64_t part) const {
    return (slot * shape.heads + head) * cut.parts + part;
  }
};

// An element of a cache as f32: of a float, or of the 16 bits of a bfloat16.
template <class T>
inline constexpr int kVector = 16 / sizeof(T);  // elements of 16 bytes

__device__ inline float Opened(float x) { return x; }
__device__ inline float Opened(uint16_t x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }

__device__ inline void OpenVector(const float* at, float (&values)[4]) {
  const float4 v = *reinterpret_cast<const float4*>(at);
  values[0] = v.x, values[1] = v.y, values[2] = v.z, values[3] = v.w;
}
__device__ inline void OpenVector(const uint16_t* at, float (&values)[8]) {
  const uint4 v = *reinterpret_cast<const uint4*>(at);
  const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(words[i] << 16);
    values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
}

// Elements [first, first + kVector) of a row of `n`; zero from its end on.
template <class T>
__device__ inline void LoadVector(const T* row, int first, int n, bool wide, float (&values)[kVector<T>]) {
  if (wide) return OpenVector(row + first, values);
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) values[i] = first + i < n ? Opened(row[first + i]) : 0;
}

// cap(scale·q·k) + bias, as AttentionShape says.
__device__ inline float ScoreOf(const AttentionShape& shape, float dot, int64_t head, int32_t key, int32_t position) {
  float score = shape.scale * dot;
  if (shape.softcap > 0) score = shape.softcap * tanhf(score / shape.softcap);
  const float slope = shape.slopes.empty() ? 0 : shape.slopes.data()[head];
  if (slope == 0) return score;
  if (!shape.bias_rounded) return score + shape.bias_factor * slope * static_cast<float>(key - position);
  return score + shape.bias_factor * Rounded(Rounded(slope) * Rounded(static_cast<float>(key)));
}

// ScoreOf is scale·dot.
__device__ inline bool IsPlain(const AttentionShape& shape) { return shape.softcap <= 0 && shape.slopes.empty(); }

// exp(score - max) is summed. The sums of two sets of scores are brought to the higher of their maxima by these factors.
struct Softmax {
  float max = -INFINITY, sum = 0;

  __device__ static float Factor(float from, float to) { return expf(from - (to == -INFINITY ? 0 : to)); }
};
struct MergeFactors {
  float max, before, part;
  MergeFactors() = default;
  __device__ MergeFactors(float max_before, float max_part)
      : max(fmaxf(max_before, max_part)), before(Softmax::Factor(max_before, max)), part(Softmax::Factor(max_part, max)) {}
  __device__ float Sum(float of_before, float of_part) const { return fmaf(of_before, before, of_part * part); }
};

// Over kLanes neighbouring lanes.
template <int kLanes>
__device__ inline float LanesMax(float value) {
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}
// Of pairs that the lanes have in turn: the two of each, then neighbours of a lane's and so on, as if four lanes had all of them; it
// does not matter how many lanes have.
template <int kLanes, int kEach>
__device__ inline float PairsSum(float (&values)[kEach]) {
#pragma unroll
  for (int width = 1; width < kEach; width *= 2)
#pragma unroll
    for (int n = 0; n < kEach; n += 2 * width) values[n] += values[n + width];
  float sum = values[0];
#pragma unroll
  for (int step = 4; step < kLanes; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
#pragma unroll
  for (int step = 1; step < 4; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}

// Before the first part: a sink joins the sum and has no value.
__device__ inline Softmax Start(const AttentionShape& shape, int64_t head) {
  if (shape.sinks.empty()) return {};
  return {shape.sinks.data()[head], 1};
}

}  // namespace drover::cuda
