// AttendStages: what the kernels of attention on tensor cores share. A block of threads has up to kQueries queries that share a KV
// head and walks tiles of their keys, which come into shared memory while those before are worked on.
//
// Whatever kernel a query meets, it gets the same bits: a tile's softmax is WeighTile, and the dimensions of heads are cut into
// kSlices, whose products are summed up in their order.
#pragma once

#include "kernels/cuda/attend_tiles_room.cuh"
#include "kernels/cuda/mma.cuh"

namespace drover::cuda {

// A softmax's max may be so much below the highest score: sums are seldom brought to another one.
inline constexpr float kSlack = 8;

// Scores of one query, of kTilesKeys keys from `tile` on, become weights exp(score - max), zero where the query does not see the key.
// It has kLanes neighbouring lanes: they have the keys in turn, two at a time. `part` takes them in; the result is the factor of what
// was summed before.
template <int kLanes>
__device__ inline float WeighTile(const AttentionShape& shape, const AttendQuery& query, int32_t tile, float (&weights)[kTilesKeys / kLanes],
                                  Softmax& part) {
  constexpr int kEach = kTilesKeys / kLanes;
  const int32_t first = tile + static_cast<int32_t>(threadIdx.x) % kLanes * 2;
  const auto key = [&](int n) { return first + n / 2 * 2 * kLanes + n % 2; };
  if (IsPlain(shape)) {
#pragma unroll
    for (int n = 0; n < kEach; ++n) weights[n] *= shape.scale;
  } else {
#pragma unroll
    for (int n = 0; n < kEach; ++n) weights[n] = ScoreOf(shape, weights[n], query.head, key(n), query.position);
  }
  if (tile < query.first || tile + kTilesKeys - 1 > query.last) {
#pragma unroll
    for (int n = 0; n < kEach; ++n)
      if (key(n) < query.first || key(n) > query.last) weights[n] = -INFINITY;
  }
  float best = part.max, sums[kEach];
#pragma unroll
  for (int n = 0; n < kEach; ++n) best = fmaxf(best, weights[n]);
  best = LanesMax<kLanes>(best);
  if (best <= part.max + kSlack) best = part.max;
  const float base = best == -INFINITY ? 0 : best;
#pragma unroll
  for (int n = 0; n < kEach; ++n) sums[n] = weights[n] = QuickExp(weights[n] - base);
  const float factor = QuickExp(part.max - base);
  part = {best, fmaf(part.sum, factor, PairsSum<kLanes>(sums))};
  return factor;
}

// sums ← sums + weights of 16 keys (as MultiplyTile's a) times their values, of as many columns as there are; v: what this lane names of
// the first.
template <int kRowSteps, int kColumnSteps>
__device__ inline void AddColumns(const uint16_t* v, int columns, const unsigned (&weights)[kRowSteps][4], float (&sums)[kRowSteps][2 * kColumnSteps][4]) {
#pragma unroll
  for (int n = 0; n < kColumnSteps; ++n) {
    if (n * kStep >= columns) break;
    unsigned b[4];
    LoadTransposed(v + n * kStep, b);
#pragma unroll
    for (int m = 0; m < kRowSteps; ++m) {
      MultiplyTile(sums[m][2 * n], weights[m], b[0], b[1]);
      MultiplyTile(sums[m][2 * n + 1], weights[m], b[2], b[3]);
    }
  }
}

template <int kQueries, int kThreads>
struct AttendStages {
  const AttendTask& task;
  const int head_dim, value_dim, value_column;
  const TilesRoom room;
  unsigned char* const base;
  AttendQuery* const queries;
  AttendKeys keys;

  __device__ AttendStages(const AttendTask& of, const TilesRows& rows, unsigned char* shared)
      : task(of),
        head_dim(static_cast<int>(of.shape.head_dim)),
        value_dim(static_cast<int>(of.shape.ValueDim())),
        value_column(ValueColumn(of.kv, of.shape)),
        room(rows, of.cut.stages, head_dim, value_dim, value_column < 0),
        base(shared),
        queries(reinterpret_cast<AttendQuery*>(shared + room.queries)) {}

  __device__ static int Warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ static int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ uint16_t* Keys(int stage) const { return reinterpret_cast<uint16_t*>(base + room.keys) + stage * kTilesKeys * room.key_stride; }
  __device__ uint16_t* Values(int stage) const {
    if (value_column >= 0) return Keys(stage) + value_column;
    return reinterpret_cast<uint16_t*>(base + room.values) + stage * kTilesKeys * room.value_stride;
  }
  // What this lane names of kStep queries from `query` on (a), or of as many keys (b): columns from 0 on.
  __device__ const uint16_t* QueryRow(int query) const {
    return reinterpret_cast<const uint16_t*>(base) + (query + Lane() % kStep) * room.key_stride + Lane() / kStep * kFill;
  }
  __device__ const uint16_t* KeyRow(int stage, int key) const {
    return Keys(stage) + (key + Lane() / kStep * kFill + Lane() % kFill) * room.key_stride + Lane() / kFill % 2 * kFill;
  }
  __device__ const uint16_t* ValueRow(int stage, int key, int column) const {
    return Values(stage) + (key + Lane() % kStep) * room.value_stride + column + Lane() / kStep * kFill;
  }
  __device__ int SliceBegin(int slice) const { return head_dim / kStep * slice / kSlices * kStep; }

  // False: there is nothing to do.
  __device__ bool FindQueries() {
    keys = FindKeysOf<kQueries>(task, queries);
    if (keys.last < keys.first) return false;
    const int pieces = head_dim / kFill;
    for (int i = static_cast<int>(threadIdx.x); i < kQueries * pieces; i += kThreads) {
      const AttendQuery& query = queries[i / pieces];
      float low[4] = {}, high[4] = {};
      if (query.row >= 0) {
        const float* from = task.q + (query.row * task.shape.heads + query.head) * head_dim + i % pieces * kFill;
        OpenVector(from, low), OpenVector(from + 4, high);
      }
      *reinterpret_cast<uint4*>(base + 2 * (i / pieces * room.key_stride + i % pieces * kFill)) =
          uint4{BF16Pair(low[0], low[1]), BF16Pair(low[2], low[3]), BF16Pair(high[0], high[1]), BF16Pair(high[2], high[3])};
    }
    __syncthreads();
    return true;
  }

  // Sends for the keys and values of a tile, if there is one: a group of pieces. Eight neighbouring threads fill 128 bytes of a row.
  __device__ void Send(int32_t tile, int stage) const {
    constexpr int kSenders = 8;
    const int begin = static_cast<int>(threadIdx.x) % kSenders * kFill;
    if (tile > keys.last) return ClosePieces();
#pragma unroll
    for (int place = static_cast<int>(threadIdx.x) / kSenders; place < kTilesKeys; place += kThreads / kSenders) {
      const int64_t offset = keys.OffsetOf(task, tile + place);
      const uint16_t* from = reinterpret_cast<const uint16_t*>(task.kv.keys) + offset;
#pragma unroll 2
      for (int d = begin; d < head_dim; d += kSenders * kFill) SendPiece(from + d, Keys(stage) + place * room.key_stride + d);
      if (value_column >= 0) continue;
      from = reinterpret_cast<const uint16_t*>(task.kv.values) + offset;
#pragma unroll 2
      for (int d = begin; d < value_dim; d += kSenders * kFill) SendPiece(from + d, Values(stage) + place * room.value_stride + d);
    }
    ClosePieces();
  }

  // Of the query of this lane's rows lane/4 (half 0) or lane/4 + 8 of MultiplyTile's c: sums of columns from `first` on. The result, with
  // the bits that MergeParts gives to one part, or what a part of the keys gives.
  template <int kPieces>
  __device__ void WriteValues(const AttendQuery& query, const Softmax& part, int half, const float (&sums)[kPieces][4], int first) const {
    if (query.row < 0) return;
    const bool whole = task.cut.parts == 0;
    const int64_t at = whole ? query.row * task.shape.heads + query.head : task.PartAt(query.slot, query.head, blockIdx.z);
    float* to = (whole ? task.y : task.values) + at * value_dim;
    const MergeFactors factors(query.all.max, part.max);
    const float share = 1 / factors.Sum(query.all.sum, part.sum);
    const auto result = [&](float values) { return whole ? factors.Sum(0, values) * share : values; };
#pragma unroll
    for (int n = 0; n < kPieces; ++n) {
      const int column = first + n * 8 + Lane() % 4 * 2;
      if (column >= value_dim) break;
      to[column] = result(sums[n][2 * half]);
      to[column + 1] = result(sums[n][2 * half + 1]);
    }
    if (!whole && first == 0 && Lane() % 4 == 0) task.softmax[2 * at] = part.max, task.softmax[2 * at + 1] = part.sum;
  }
};

}  // namespace drover::cuda
