// AttendTiles: attention whose warps share out a tile's scores by queries, keys and dimensions, its softmax by queries, and the sums of
// values, which stay in registers, by columns: for queries that are few, or whose values are many.
#pragma once

#include "kernels/cuda/attend_stages.cuh"

namespace drover::cuda {

inline constexpr int kTilesThreads = 256, kTilesWarps = kTilesThreads / kWarp;

// Dimensions of heads that kValueSteps has room for in registers.
constexpr int TilesDimsMost(int value_steps) { return 128 * value_steps + 64; }

template <int kQueries, int kValueSteps, int kBlocksWanted>  // steps of value columns of a warp
struct AttendTiles : AttendStages<kQueries, kTilesThreads> {
  static constexpr int kThreads = kTilesThreads, kBlocks = kBlocksWanted;
  static constexpr int kRowSteps = kQueries / kStep;
  __host__ __device__ static constexpr TilesRows Rows() { return {.queries = kQueries, .scores = kSlices * kQueries, .weights = kQueries}; }
  // The warps with the same queries have all keys and some slices each, or kStep keys and one slice.
  static constexpr int kGroups = kTilesWarps / kRowSteps, kOwnSlices = kGroups < kSlices ? kSlices / kGroups : 1;
  static constexpr int kOwnKeySteps = kKeySteps * kSlices / kOwnSlices / kGroups;
  static constexpr int kSliceSteps = (TilesDimsMost(kValueSteps) / kStep + kSlices - 1) / kSlices;
  using Stages = AttendStages<kQueries, kTilesThreads>;
  using Stages::value_dim, Stages::task, Stages::queries, Stages::room, Stages::base, Stages::Warp, Stages::Lane;

  unsigned held[kOwnSlices][kSliceSteps][4];       // the warp's queries, as MultiplyTile's a
  float sums[kRowSteps][2 * kValueSteps][4] = {};  // of values, as MultiplyTile's c

  __device__ AttendTiles(const AttendTask& of, unsigned char* shared) : Stages(of, Rows(), shared) {}

  __device__ static int FirstQuery() { return Warp() % kRowSteps * kStep; }
  __device__ static int FirstSlice() { return Warp() / kRowSteps * kOwnSlices % kSlices; }
  __device__ static int FirstKey() { return Warp() / kRowSteps * kOwnSlices / kSlices * kStep; }
  __device__ static int FirstColumn() { return Warp() * kValueSteps * kStep; }
  __device__ float* ScoresOf(int slice, int query) const {
    return reinterpret_cast<float*>(base + room.scores) + (slice * kQueries + query) * room.score_stride;
  }
  __device__ uint16_t* Weights() const { return reinterpret_cast<uint16_t*>(base + room.weights); }

  __device__ void Begin() {
#pragma unroll
    for (int s = 0; s < kOwnSlices; ++s) {
      const int begin = this->SliceBegin(FirstSlice() + s), end = this->SliceBegin(FirstSlice() + s + 1);
#pragma unroll
      for (int i = 0; i < kSliceSteps; ++i)
        if (begin + i * kStep < end) LoadMatrices(this->QueryRow(FirstQuery()) + begin + i * kStep, held[s][i]);
    }
  }

  __device__ void Take(int32_t tile, int stage) {
    Score(stage);
    __syncthreads();
    Weigh(tile);
    __syncthreads();
    AddValues(stage);
  }

  __device__ void Score(int stage) const {
    const uint16_t* k = this->KeyRow(stage, FirstKey());
#pragma unroll
    for (int s = 0; s < kOwnSlices; ++s) {
      const int slice = FirstSlice() + s, begin = this->SliceBegin(slice), end = this->SliceBegin(slice + 1);
      float dots[2 * kOwnKeySteps][4] = {};
#pragma unroll
      for (int i = 0; i < kSliceSteps; ++i) {
        if (begin + i * kStep >= end) break;
#pragma unroll
        for (int n = 0; n < kOwnKeySteps; ++n) {
          unsigned b[4];
          LoadMatrices(k + n * kStep * room.key_stride + begin + i * kStep, b);
          MultiplyTile(dots[2 * n], held[s][i], b[0], b[1]);
          MultiplyTile(dots[2 * n + 1], held[s][i], b[2], b[3]);
        }
      }
#pragma unroll
      for (int n = 0; n < 4 * kOwnKeySteps; ++n)
        *reinterpret_cast<float2*>(ScoresOf(slice, FirstQuery() + Lane() / 4 + n % 2 * 8) + FirstKey() + n / 2 * 8 + Lane() % 4 * 2) =
            float2{dots[n / 2][n % 2 * 2], dots[n / 2][n % 2 * 2 + 1]};
    }
  }

  // Warps without a query leave what their rows hold: no other row meets it.
  __device__ void Weigh(int32_t tile) const {
    constexpr int kLanes = kTilesThreads / kQueries, kEach = kTilesKeys / kLanes;
    if (Warp() * kWarp / kLanes >= this->keys.queries) return;
    const int i = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
    AttendQuery& query = queries[i];
    float weights[kEach] = {};
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice)
#pragma unroll
      for (int n = 0; n < kEach; n += 2) {
        const float2 dots = *reinterpret_cast<const float2*>(ScoresOf(slice, i) + (lane + n / 2 * kLanes) * 2);
        weights[n] += dots.x, weights[n + 1] += dots.y;
      }
    Softmax part = query.part;
    const float factor = WeighTile<kLanes>(task.shape, query, tile, weights, part);
#pragma unroll
    for (int n = 0; n < kEach; n += 2)
      *reinterpret_cast<unsigned*>(Weights() + i * room.weight_stride + (lane + n / 2 * kLanes) * 2) = BF16Pair(weights[n], weights[n + 1]);
    __syncwarp();
    if (lane == 0) query.part = part, query.factor = factor;
  }

  // sums ← sums·factor + Σ_j weight of key j · V[j], of this warp's columns.
  __device__ void AddValues(int stage) {
    const int columns = min(kValueSteps * kStep, value_dim - FirstColumn());
    if (columns <= 0) return;
#pragma unroll
    for (int i = 0; i < 2 * kRowSteps; ++i) {
      const float factor = queries[i * 8 + Lane() / 4].factor;
      if (factor == 1) continue;
#pragma unroll
      for (int n = 0; n < 2 * kValueSteps; ++n) sums[i / 2][n][i % 2 * 2] *= factor, sums[i / 2][n][i % 2 * 2 + 1] *= factor;
    }
#pragma unroll 1  // registers
    for (int key = 0; key < kTilesKeys; key += kStep) {
      unsigned a[kRowSteps][4];
#pragma unroll
      for (int m = 0; m < kRowSteps; ++m)
        LoadMatrices(Weights() + (m * kStep + Lane() % kStep) * room.weight_stride + key + Lane() / kStep * kFill, a[m]);
      AddColumns<kRowSteps, kValueSteps>(this->ValueRow(stage, key, FirstColumn()), columns, a, sums);
    }
  }

  __device__ void Write() const {
#pragma unroll
    for (int i = 0; i < 2 * kRowSteps; ++i) {
      const AttendQuery& query = queries[i * 8 + Lane() / 4];
      this->WriteValues(query, query.part, i % 2, sums[i / 2], FirstColumn());
    }
  }
};

}  // namespace drover::cuda
