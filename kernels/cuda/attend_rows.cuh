// AttendRows: attention whose warps share out the queries. What a warp knows of its queries stays in registers: the layout of a product's
// result is that of the next one's first factor, so that scores become weights where they are.
#pragma once

#include "kernels/cuda/attend_stages.cuh"

namespace drover::cuda {

inline constexpr int kRowsThreads = 128;

template <int kRowSteps, int kColumnSteps, int kBlocksWanted>  // steps of a warp's queries, of all value columns
struct AttendRows : AttendStages<kRowsThreads / kWarp * kRowSteps * kStep, kRowsThreads> {
  static constexpr int kThreads = kRowsThreads, kOwn = kRowSteps * kStep, kBlocks = kBlocksWanted;
  __host__ __device__ static constexpr TilesRows Rows() { return {.queries = kThreads / kWarp * kOwn}; }
  using Stages = AttendStages<kRowsThreads / kWarp * kRowSteps * kStep, kRowsThreads>;
  static constexpr int kDimSteps = 2 / kRowSteps;  // at once, as registers allow
  using Products = float[kRowSteps][2 * kKeySteps][4];
  using Weights = unsigned[kKeySteps][kRowSteps][4];  // as MultiplyTile's a
  using Stages::head_dim, Stages::value_dim, Stages::task, Stages::queries, Stages::Warp, Stages::Lane;

  float sums[kRowSteps][2 * kColumnSteps][4] = {};  // of values, as MultiplyTile's c
  Softmax parts[kRowSteps][2];                      // of rows lane/4 and lane/4 + 8
  int32_t first = INT32_MAX, last = -1;             // keys of the warp

  __device__ AttendRows(const AttendTask& of, unsigned char* shared) : Stages(of, Rows(), shared) {}

  __device__ const AttendQuery& QueryOf(int m, int half) const { return queries[Warp() * kOwn + m * kStep + half * 8 + Lane() / 4]; }

  __device__ void Begin() {
    for (int i = 0; i < kOwn; ++i) {
      first = min(first, queries[Warp() * kOwn + i].first);
      last = max(last, queries[Warp() * kOwn + i].last);
    }
  }

  __device__ void Take(int32_t tile, int stage) {
    if (tile > last || tile + kTilesKeys <= first) return;
    Products scores;
    Score(stage, scores);
    Weights weights;
#pragma unroll
    for (int m = 0; m < kRowSteps; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) Weigh(tile, m, half, scores[m], weights);
#pragma unroll
    for (int key = 0; key < kKeySteps; ++key) AddColumns<kRowSteps, kColumnSteps>(this->ValueRow(stage, key * kStep, 0), value_dim, weights[key], sums);
  }

  __device__ void Score(int stage, Products& scores) const {
    const uint16_t* q = this->QueryRow(Warp() * kOwn);
    const uint16_t* k = this->KeyRow(stage, 0);
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      Products dots = {};
#pragma unroll kDimSteps
      for (int d = this->SliceBegin(slice); d < this->SliceBegin(slice + 1); d += kStep) {
        unsigned b[kKeySteps][4];
#pragma unroll
        for (int n = 0; n < kKeySteps; ++n) LoadMatrices(k + n * kStep * this->room.key_stride + d, b[n]);
#pragma unroll
        for (int m = 0; m < kRowSteps; ++m) {
          unsigned a[4];
          LoadMatrices(q + m * kStep * this->room.key_stride + d, a);
#pragma unroll
          for (int n = 0; n < 2 * kKeySteps; ++n) MultiplyTile(dots[m][n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
      }
#pragma unroll
      for (int m = 0; m < kRowSteps; ++m)
#pragma unroll
        for (int i = 0; i < 8 * kKeySteps; ++i) scores[m][i / 4][i % 4] = slice == 0 ? dots[m][i / 4][i % 4] : scores[m][i / 4][i % 4] + dots[m][i / 4][i % 4];
    }
  }

  __device__ void Weigh(int32_t tile, int m, int half, const float (&scores)[2 * kKeySteps][4], Weights& weights) {
    float row[4 * kKeySteps];
#pragma unroll
    for (int i = 0; i < 4 * kKeySteps; ++i) row[i] = scores[i / 2][2 * half + i % 2];
    const float factor = WeighTile<4>(task.shape, QueryOf(m, half), tile, row, parts[m][half]);
#pragma unroll
    for (int i = 0; i < 2 * kKeySteps; ++i) weights[i / 2][m][i % 2 * 2 + half] = BF16Pair(row[2 * i], row[2 * i + 1]);
    if (factor == 1) return;
#pragma unroll
    for (int n = 0; n < 2 * kColumnSteps; ++n) sums[m][n][2 * half] *= factor, sums[m][n][2 * half + 1] *= factor;
  }

  __device__ void Write() const {
#pragma unroll
    for (int m = 0; m < kRowSteps; ++m)
#pragma unroll
      for (int half = 0; half < 2; ++half) this->WriteValues(QueryOf(m, half), parts[m][half], half, sums[m], 0);
  }
};

}  // namespace drover::cuda
