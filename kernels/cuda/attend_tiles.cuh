// AttendTiles: up to kQueries queries that share a KV head, against their keys, by one block of threads on tensor cores. It walks tiles
// of keys: tiles come into shared memory while those before are worked on. Warps share out a tile's scores by queries, keys and
// dimensions, its softmax by queries, and the sums of values, which stay in registers, by columns.
#pragma once

#include "kernels/cuda/attend_tiles_room.cuh"
#include "kernels/cuda/mma.cuh"

namespace drover::cuda {

template <int kQueries, int kValueSteps>  // steps of value columns of a warp
struct AttendTiles {
  static constexpr int kRowSteps = kQueries / kStep;
  // The dimensions of heads are cut into slices, whose products are summed up one after the other, whoever has them: the same bits
  // for every kQueries. The warps with the same queries and keys have one each, or one warp has all.
  static constexpr int kSlices = 4, kPlanes = kTilesWarps / kRowSteps / kKeySteps;
  static_assert(kPlanes == kSlices || kPlanes == 1);

  const AttendTask& task;
  const int head_dim, value_dim, value_column;
  const TilesRoom room;
  unsigned char* const base;
  AttendQuery* const queries;
  AttendKeys keys;
  float sums[kRowSteps][2 * kValueSteps][4] = {};  // of values, as MultiplyTile's c

  __device__ AttendTiles(const AttendTask& of, unsigned char* shared)
      : task(of),
        head_dim(static_cast<int>(of.shape.head_dim)),
        value_dim(static_cast<int>(of.shape.ValueDim())),
        value_column(ValueColumn(of.kv, of.shape)),
        room(kQueries, of.cut.stages, head_dim, value_dim, value_column < 0),
        base(shared),
        queries(reinterpret_cast<AttendQuery*>(shared + room.queries)) {}

  __device__ static int Warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ static int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ int FirstColumn() const { return Warp() * kValueSteps * kStep; }
  __device__ uint16_t* Queries() const { return reinterpret_cast<uint16_t*>(base); }
  __device__ uint16_t* Keys(int stage) const { return reinterpret_cast<uint16_t*>(base + room.keys) + stage * kTilesKeys * room.key_stride; }
  __device__ uint16_t* Values(int stage) const {
    if (value_column >= 0) return Keys(stage) + value_column;
    return reinterpret_cast<uint16_t*>(base + room.values) + stage * kTilesKeys * room.value_stride;
  }
  __device__ float* ScoresOf(int plane, int query) const {
    return reinterpret_cast<float*>(base + room.scores) + (plane * kQueries + query) * room.score_stride;
  }
  __device__ uint16_t* Weights() const { return reinterpret_cast<uint16_t*>(base + room.weights); }

  // False: there is nothing to do.
  __device__ bool FindQueries() {
    keys = FindKeysOf<kQueries>(task, queries);
    if (keys.last < keys.first) return false;
    const int pieces = head_dim / kFill;
    for (int i = static_cast<int>(threadIdx.x); i < kQueries * pieces; i += kTilesThreads) {
      const AttendQuery& query = queries[i / pieces];
      float values[kFill] = {};
      if (query.row >= 0) {
        const float* from = task.q + (query.row * task.shape.heads + query.head) * head_dim + i % pieces * kFill;
#pragma unroll
        for (int c = 0; c < kFill; ++c) values[c] = from[c];
      }
      *reinterpret_cast<uint4*>(Queries() + i / pieces * room.key_stride + i % pieces * kFill) = BF16Piece(values);
    }
    return true;
  }

  // Sends for the keys and values of a tile, if there is one: a group of pieces.
  __device__ void Send(int32_t tile, int stage) const {
    constexpr int kSenders = kTilesThreads / kTilesKeys;  // of a key
    if (tile > keys.last) return ClosePieces();
    const int place = static_cast<int>(threadIdx.x) / kSenders, begin = static_cast<int>(threadIdx.x) % kSenders * kFill;
    const int64_t offset = keys.OffsetOf(task, tile + place);
    const uint16_t* from = reinterpret_cast<const uint16_t*>(task.kv.keys) + offset;
    for (int d = begin; d < head_dim; d += kSenders * kFill) SendPiece(from + d, Keys(stage) + place * room.key_stride + d);
    if (value_column >= 0) return ClosePieces();
    from = reinterpret_cast<const uint16_t*>(task.kv.values) + offset;
    for (int d = begin; d < value_dim; d += kSenders * kFill) SendPiece(from + d, Values(stage) + place * room.value_stride + d);
    ClosePieces();
  }

  // A warp takes kStep queries, as many keys and its slices.
  __device__ void Score(int stage) const {
    const int query = Warp() % kRowSteps * kStep, key = Warp() / kRowSteps % kKeySteps * kStep, plane = Warp() / kRowSteps / kKeySteps;
    const int lane = Lane(), steps = head_dim / kStep;
    const uint16_t* q = Queries() + (query + lane % kStep) * room.key_stride + lane / kStep * kFill;
    const uint16_t* k = Keys(stage) + (key + lane / kStep * kFill + lane % kFill) * room.key_stride + lane / kFill % 2 * kFill;
    float all[2][4] = {};
#pragma unroll
    for (int slice = plane; slice < plane + kSlices / kPlanes; ++slice) {
      float dots[2][4] = {};
#pragma unroll 2
      for (int d = steps * slice / kSlices * kStep; d < steps * (slice + 1) / kSlices * kStep; d += kStep) {
        unsigned a[4], b[4];
        LoadMatrices(q + d, a);
        LoadMatrices(k + d, b);
        MultiplyTile(dots[0], a, b[0], b[1]);
        MultiplyTile(dots[1], a, b[2], b[3]);
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) all[i / 4][i % 4] += dots[i / 4][i % 4];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
      ScoresOf(plane, query + lane / 4 + i % 4 / 2 * 8)[key + i / 4 * 8 + lane % 4 * 2 + i % 2] = all[i / 4][i % 4];
  }

  // Scores become weights: exp(score - max), zero where the query does not see the key. A query has kLanes lanes, each of them kEach
  // keys. Warps without a query leave what their rows hold: no other row meets it.
  __device__ void Weigh(int32_t tile) const {
    constexpr int kLanes = kTilesThreads / kQueries, kEach = kTilesKeys / kLanes;
    if (Warp() * kWarp / kLanes >= keys.queries) return;
    const int i = static_cast<int>(threadIdx.x) / kLanes, first = static_cast<int>(threadIdx.x) % kLanes * kEach;
    AttendQuery& query = queries[i];
    const Softmax before = query.part;
    float weights[kEach], best = before.max;
#pragma unroll
    for (int n = 0; n < kEach; ++n) {
      weights[n] = ScoresOf(0, i)[first + n];
#pragma unroll
      for (int plane = 1; plane < kPlanes; ++plane) weights[n] += ScoresOf(plane, i)[first + n];
      const int32_t key = tile + first + n;
      const float score = ScoreOf(task.shape, weights[n], query.head, key, query.position);
      weights[n] = key >= query.first && key <= query.last ? score : -INFINITY;
      best = fmaxf(best, weights[n]);
    }
    best = LanesMax<kLanes>(best);
#pragma unroll
    for (int n = 0; n < kEach; ++n) weights[n] = Softmax::Factor(weights[n], best);
    StoreWeights(weights, Weights() + i * room.weight_stride + first);
    const float factor = Softmax::Factor(before.max, best), total = LanesSum<kLanes>(weights);
    __syncwarp();
    if (first == 0) query.part = {best, fmaf(before.sum, factor, total)}, query.factor = factor;
  }
  __device__ static void StoreWeights(const float (&weights)[kFill], uint16_t* to) { *reinterpret_cast<uint4*>(to) = BF16Piece(weights); }
  __device__ static void StoreWeights(const float (&weights)[2], uint16_t* to) { Store(weights[0], to), Store(weights[1], to + 1); }

  // sums ← sums·factor + Σ_j weight of key j · V[j], of this warp's columns.
  __device__ void AddValues(int stage) {
    const int lane = Lane(), columns = min(kValueSteps * kStep, value_dim - FirstColumn());
    if (columns <= 0) return;
#pragma unroll
    for (int m = 0; m < kRowSteps; ++m) {
      const float upper = queries[m * kStep + lane / 4].factor, lower = queries[m * kStep + lane / 4 + 8].factor;
#pragma unroll
      for (int n = 0; n < 2 * kValueSteps; ++n) {
        sums[m][n][0] *= upper, sums[m][n][1] *= upper;
        sums[m][n][2] *= lower, sums[m][n][3] *= lower;
      }
    }
#pragma unroll
    for (int key = 0; key < kTilesKeys; key += kStep) {
      unsigned a[kRowSteps][4];
#pragma unroll
      for (int m = 0; m < kRowSteps; ++m)
        LoadMatrices(Weights() + (m * kStep + lane % kStep) * room.weight_stride + key + lane / kStep * kFill, a[m]);
      const uint16_t* v = Values(stage) + (key + lane % kStep) * room.value_stride + FirstColumn() + lane / kStep * kFill;
#pragma unroll
      for (int n = 0; n < kValueSteps; ++n) {
        if (n * kStep >= columns) break;
        unsigned b[4];
        LoadTransposed(v + n * kStep, b);
#pragma unroll
        for (int m = 0; m < kRowSteps; ++m) {
          MultiplyTile(sums[m][2 * n], a[m], b[0], b[1]);
          MultiplyTile(sums[m][2 * n + 1], a[m], b[2], b[3]);
        }
      }
    }
  }

  // The results, with the bits that MergeParts gives to one part, or those of the part that the block had.
  __device__ void Write() const {
    const int lane = Lane();
#pragma unroll
    for (int m = 0; m < kRowSteps; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const AttendQuery& query = queries[m * kStep + half * 8 + lane / 4];
        if (query.row < 0) continue;
        const bool whole = task.cut.parts == 0;
        const int64_t at = whole ? query.row * task.shape.heads + query.head : task.PartAt(query.slot, query.head, blockIdx.z);
        float* to = (whole ? task.y : task.values) + at * value_dim;
        const MergeFactors factors(query.all.max, query.part.max);
        const float sum = factors.Sum(query.all.sum, query.part.sum);
        const auto result = [&](float values) { return whole ? factors.Sum(0, values) / sum : values; };
#pragma unroll
        for (int n = 0; n < 2 * kValueSteps; ++n) {
          const int column = FirstColumn() + n * 8 + lane % 4 * 2;
          if (column >= value_dim) break;
          to[column] = result(sums[m][n][2 * half]);
          to[column + 1] = result(sums[m][n][2 * half + 1]);
        }
        if (!whole && Warp() == 0 && lane % 4 == 0) task.softmax[2 * at] = query.part.max, task.softmax[2 * at + 1] = query.part.sum;
      }
    }
  }
};

}  // namespace drover::cuda
