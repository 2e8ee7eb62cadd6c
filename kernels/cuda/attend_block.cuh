// AttendBlock: up to kQueries queries that share a KV head, against their keys, by one block of threads. It walks tiles of keys that
// begin at multiples of kTileKeys: scores, softmax, values. A tile's work on a query is the same whoever shares it: keys that others
// see get a weight of zero.
#pragma once

#include "kernels/cuda/attend_scores.cuh"

namespace drover::cuda {

template <class T, int kQueries>
struct AttendBlock {
  static constexpr int kVec = kVector<T>;

  const AttendTask& task;
  const int key_pieces, value_pieces, value_groups, value_block;
  float *q, *scores, *sums;  // q: for each query its vectors' first halves, then the second; scores: [key][query]
  int64_t* offsets;          // of the tile's keys
  AttendQuery* queries;
  float* all;                // the values' sums of the parts before: [query][value]
  AttendKeys keys;
  float own[kQueries][kVec] = {};        // this thread's sums of values: of one vector, over one key of value_groups

  __device__ AttendBlock(const AttendTask& of, float* room)
      : task(of),
        key_pieces(static_cast<int>((of.shape.head_dim + kVec - 1) / kVec)),
        value_pieces((Values(of) + kVec - 1) / kVec),
        value_groups(kAttendThreads / value_pieces),
        value_block(static_cast<int>(blockIdx.x) % of.cut.value_blocks * of.cut.values),
        q(room),
        scores(q + kQueries * key_pieces * kVec),
        sums(scores + kTileKeys * kQueries),
        offsets(reinterpret_cast<int64_t*>(sums + kAttendThreads * kVec)),
        queries(reinterpret_cast<AttendQuery*>(offsets + kTileKeys)),
        all(reinterpret_cast<float*>(queries + kQueries)) {}

  // Value columns of this block.
  __device__ static int Values(const AttendTask& of) {
    const int begin = static_cast<int>(blockIdx.x) % of.cut.value_blocks * of.cut.values;
    return min(of.cut.values, static_cast<int>(of.shape.ValueDim()) - begin);
  }

  // False: there is nothing to do.
  __device__ bool FindQueries() {
    keys = FindKeysOf<kQueries>(task, queries);
    if (keys.last < keys.first) return false;
    const int width = key_pieces * kVec, dim = static_cast<int>(task.shape.head_dim);
    for (int i = static_cast<int>(threadIdx.x); i < kQueries * width; i += kAttendThreads) {
      const AttendQuery& query = queries[i / width];
      const int d = i % width;
      const float value = query.row < 0 || d >= dim ? 0 : task.q[(query.row * task.shape.heads + query.head) * dim + d];
      q[i / width * width + d % kVec / 4 * (key_pieces * 4) + d / kVec * 4 + d % 4] = value;
    }
    if (task.cut.parts == 0)
      for (int i = static_cast<int>(threadIdx.x); i < kQueries * task.cut.values; i += kAttendThreads) all[i] = 0;
    return true;
  }

  // Where the heads of the tile's keys lie.
  __device__ void FindKeys(int32_t tile) {
    if (threadIdx.x < kTileKeys) offsets[threadIdx.x] = keys.OffsetOf(task, tile + static_cast<int32_t>(threadIdx.x));
  }

  __device__ void Score(int32_t tile, int count) {
    const int lanes = task.cut.key_lanes, beside = kWarp / lanes, lane = static_cast<int>(threadIdx.x) % kWarp;
    const int query = lane % lanes / (lanes / kQueries);
    const T* cache = reinterpret_cast<const T*>(task.kv.keys);
    for (int j = static_cast<int>(threadIdx.x) / kWarp * kKeysAtOnce * beside; j < count; j += kAttendWarps * kKeysAtOnce * beside) {
      const T* at[kKeysAtOnce];
      float dots[kKeysAtOnce][kQueries] = {};
#pragma unroll
      for (int n = 0; n < kKeysAtOnce; ++n) at[n] = cache + offsets[j + n * beside + lane / lanes];
      MultiplyKeys(task, q, key_pieces, at, dots);
#pragma unroll
      for (int n = 0; n < kKeysAtOnce; ++n) {
        const int key = j + n * beside + lane / lanes;
        const float dot = SumOverLanes(dots[n], lanes);
        if (lane % (lanes / kQueries) != 0) continue;
        scores[key * kQueries + query] = ScoreOf(task.shape, dot, queries[query].head, tile + key, queries[query].position);
      }
    }
  }

  // own[i] ← own[i]·factor + Σ_j weight of key j for query i · V[j], over this thread's keys.
  __device__ void AddValues(int count) {
    const int values = Values(task), piece = static_cast<int>(threadIdx.x) % value_pieces;
    const int group = static_cast<int>(threadIdx.x) / value_pieces;
    if (group >= value_groups) return;
#pragma unroll
    for (int i = 0; i < kQueries; ++i)
#pragma unroll
      for (int c = 0; c < kVec; ++c) own[i][c] *= queries[i].factor;
    const T* cache = reinterpret_cast<const T*>(task.kv.values) + value_block;
#pragma unroll 4
    for (int j = group; j < count; j += value_groups) {
      float v[kVec];
      LoadVector(cache + offsets[j], piece * kVec, values, task.cut.wide, v);
#pragma unroll
      for (int i = 0; i < kQueries; ++i) {
        const float weight = scores[j * kQueries + i];
#pragma unroll
        for (int c = 0; c < kVec; ++c) own[i][c] = fmaf(weight, v[c], own[i][c]);
      }
    }
  }

  // Gives write(value column, sum over all threads' keys) the values of one query.
  template <class Write>
  __device__ void SumValues(const float (&of)[kVec], const Write& write) {
    __syncthreads();  // of the sums before
#pragma unroll
    for (int c = 0; c < kVec; ++c) sums[threadIdx.x * kVec + c] = of[c];
    __syncthreads();
    const int values = Values(task);
    for (int d = static_cast<int>(threadIdx.x); d < values; d += kAttendThreads) {
      float sum = 0;
      for (int group = 0; group < value_groups; ++group) sum += sums[group * value_pieces * kVec + d];
      write(d, sum);
    }
  }

  // Merges query i's part with those before it.
  __device__ void ClosePart(int i, float (&part_values)[kVec]) {
    AttendQuery& query = queries[i];
    const Softmax before = query.all, part = query.part;
    const MergeFactors factors(before.max, part.max);
    SumValues(part_values, [&](int d, float sum) {
      float& value = all[i * task.cut.values + d];
      value = factors.Sum(value, sum);
    });
    if (threadIdx.x == 0) query.all = {factors.max, factors.Sum(before.sum, part.sum)}, query.part = {};
#pragma unroll
    for (int c = 0; c < kVec; ++c) part_values[c] = 0;
  }

  // Those that end where the tile begins.
  __device__ void CloseParts(int32_t tile) {
#pragma unroll
    for (int i = 0; i < kQueries; ++i) {
      const AttendQuery& query = queries[i];
      if (tile > query.first && tile <= query.last && tile % query.part_keys == 0) ClosePart(i, own[i]);
    }
  }

  // After the last tile: the results, or those of the part that the block had.
  __device__ void Write() {
#pragma unroll
    for (int i = 0; i < kQueries; ++i) {
      if (queries[i].row < 0) continue;
      if (task.cut.parts > 0)
        WritePart(queries[i], own[i]);
      else
        WriteResult(i);
    }
  }
  __device__ void WritePart(const AttendQuery& query, const float (&part_values)[kVec]) {
    const int64_t at = task.PartAt(query.slot, query.head, blockIdx.z);
    SumValues(part_values, [&](int d, float sum) { task.values[at * task.shape.ValueDim() + value_block + d] = sum; });
    if (threadIdx.x == 0 && value_block == 0) task.softmax[2 * at] = query.part.max, task.softmax[2 * at + 1] = query.part.sum;
  }
  __device__ void WriteResult(int i) {
    ClosePart(i, own[i]);
    __syncthreads();
    const AttendQuery& query = queries[i];
    float* y = task.y + (query.row * task.shape.heads + query.head) * task.shape.ValueDim() + value_block;
    const float share = 1 / query.all.sum;
    for (int d = static_cast<int>(threadIdx.x); d < Values(task); d += kAttendThreads) y[d] = all[i * task.cut.values + d] * share;
  }
};

}  // namespace drover::cuda
