// See small_batch.h. A warp multiplies 16 rows by 8 tokens at a time on tensor cores. What a tensor core adds up may come in any order
// of columns, as long as weights and activations agree: so each lane takes 8 consecutive columns of two rows and of one token.
#include "kernels/cuda/small_batch.h"

#include "common/check.h"
#include "kernels/cuda/linear_task.cuh"
#include "kernels/cuda/mma.cuh"

namespace drover::cuda {
namespace {

constexpr int kRowsOfWarp = 16, kTokensOfTile = 8, kLanesOfRow = 4;

// 8 activations of a token in bf16, from f32.
struct FloatRows {
  const float* x;
  int64_t stride;
  __device__ uint4 Piece(const LinearTask& task, int token, int32_t c) const {
    float values[kPiece];
    LoadPiece(task.weight, task.wide_x, x + token * stride, c, values);
    return BF16Piece(values);
  }
};
// The same from rows that are rounded.
struct RoundedRows {
  const uint16_t* x;
  int64_t stride;
  __device__ uint4 Piece(const LinearTask& task, int token, int32_t c) const {
    const WeightView& weight = task.weight;
    const uint16_t* row = x + token * stride;
    if (task.wide_x && weight.Whole(c)) return *reinterpret_cast<const uint4*>(row + (c - weight.first));
    unsigned values[kPiece];
    for (int i = 0; i < kPiece; ++i) values[i] = weight.Has(c + i) ? row[weight.Meets(c + i)] : 0;
    return {values[0] | values[1] << 16, values[2] | values[3] << 16, values[4] | values[5] << 16, values[6] | values[7] << 16};
  }
};

// The products of 16 rows, of which this lane has `low` and `high`, with all tokens, over the lanes' 8 columns each.
template <int kTiles, class Rows>
__device__ inline void MultiplyPiece(const LinearTask& task, const Rows& x, int32_t c, const uint4& low, const uint4& high,
                                     float (&sums)[kTiles][4]) {
  const int own = static_cast<int>(threadIdx.x) % kWarp / kLanesOfRow;
  const unsigned first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    if (tile * kTokensOfTile >= task.tokens) break;
    const int token = tile * kTokensOfTile + own;
    const uint4 values = token < task.tokens ? x.Piece(task, token, c) : uint4{0, 0, 0, 0};
    MultiplyTile(sums[tile], first, values.x, values.y);
    MultiplyTile(sums[tile], second, values.z, values.w);
  }
}

template <class Read>
__device__ inline uint4 OpenBorder(const WeightView& weight, int64_t row, int32_t c) {
  if (c >= weight.end) return {0, 0, 0, 0};
  float w[kPiece];
  OpenPiece<Read>(weight, row, c, w);
  return BF16Piece(w);
}

// The sums of a warp's part of the columns. A turn is kSteps times 4 chunks: all of it is loaded before any of it is used, unless it
// reaches over the columns that count.
template <class Read, int kTiles, class Rows>
__device__ inline void MultiplyChunks(const LinearTask& task, const Rows& x, int64_t low, int64_t high, float (&sums)[kTiles][4]) {
  using Form = Chunk<Read>;
  constexpr int kSteps = Form::kSteps, kAtOnce = kSteps * kLanesOfRow;
  const int lane = static_cast<int>(threadIdx.x) % kLanesOfRow;
  const RowAt low_at = RowOf(task.weight, low), high_at = RowOf(task.weight, high);
  for (int base = task.first_chunk + task.Part() * kAtOnce; base < task.end_chunk; base += task.parts * kAtOnce) {
    if (task.in_chunks && task.weight.Whole(base * kColumns<Read>, kAtOnce * kColumns<Read>)) {
      typename Form::Raw lows[kSteps], highs[kSteps];
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int32_t c = (base + step * kLanesOfRow + lane) * kColumns<Read>;
        lows[step] = Form::Load(task.weight, low_at, c);
        highs[step] = Form::Load(task.weight, high_at, c);
      }
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int p = 0; p < Form::kPieces; ++p)
          MultiplyPiece<kTiles>(task, x, (base + step * kLanesOfRow + lane) * kColumns<Read> + p * kPiece,
                                OpenRounded<Read>(lows[step], p), OpenRounded<Read>(highs[step], p), sums);
      }
    } else {
      for (int first = base; first < min(base + kAtOnce, task.end_chunk); first += kLanesOfRow) {
        for (int p = 0; p < Form::kPieces; ++p) {
          const int32_t c = (first + lane) * kColumns<Read> + p * kPiece;
          MultiplyPiece<kTiles>(task, x, c, OpenBorder<Read>(task.weight, low, c), OpenBorder<Read>(task.weight, high, c), sums);
        }
      }
    }
  }
}

// A group of `parts` warps computes 16 rows for all tokens; their sums are added up in the order of the parts.
template <class Read, int kTiles, class Rows>
__global__ void __launch_bounds__(kThreads) SmallBatchRows(const LinearTask task, const Rows x) {
  __shared__ float partial[kWarps][kTiles * 4][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int row = task.RowGroup() * kRowsOfWarp;
  if (row >= task.rows) return;
  const int low = row + lane / kLanesOfRow;
  float sums[kTiles][4] = {};
  MultiplyChunks<Read, kTiles>(task, x, task.WeightRow(0, low), task.WeightRow(0, low + 8), sums);
  if (task.parts > 1) {
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i) partial[warp][i][lane] = sums[i / 4][i % 4];
    __syncthreads();
    if (task.Part() != 0) return;
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i)
      for (int part = 1; part < task.parts; ++part) sums[i / 4][i % 4] += partial[warp + part][i][lane];
  }
#pragma unroll
  for (int i = 0; i < kTiles * 4; ++i) {
    const int token = i / 4 * kTokensOfTile + lane % kLanesOfRow * 2 + i % 2, own = low + i % 4 / 2 * 8;
    if (token >= task.tokens || own >= task.rows) continue;
    task.y[token * task.y_token + own] = task.bias == nullptr ? sums[i / 4][i % 4] : sums[i / 4][i % 4] + task.bias[own];
  }
}

template <int kTiles, class Rows>
struct LaunchSmallBatch {
  const LinearTask& task;
  const Rows& x;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    LinearTask own = task;
    ShareOut<Read>(own, kRowsOfWarp, Chunk<Read>::kSteps * kLanesOfRow);
    const unsigned blocks = RowBlocks(own, kRowsOfWarp);
    SmallBatchRows<Read, kTiles, Rows><<<blocks, kThreads, 0, stream>>>(own, x);
  }
};

LinearTask TaskOf(const PackedWeight& weight, const float* bias, Tensor y) {
  LinearTask task{.weight = ViewOf(weight), .bias = bias, .y = y.data, .y_token = y.cols};
  task.tokens = static_cast<int32_t>(y.rows);
  task.rows = static_cast<int32_t>(y.cols);
  return task;
}

}  // namespace

void SmallBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, Tensor x, Tensor y) {
  DROVER_CHECK_LE(x.rows, kSmallTokens);
  LinearTask task = TaskOf(weight, bias, y);
  task.wide_x = IsWide(task.weight, x.data, x.cols, 0);
  const FloatRows rows{x.data, x.cols};
  WithReader(weight.dtype, LaunchSmallBatch<1, FloatRows>{task, rows, device.stream()});
  device.Launched("Linear");
}

void MediumBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, const uint16_t* x, int64_t stride, Tensor y) {
  DROVER_CHECK_LE(y.rows, kMediumTokens);
  LinearTask task = TaskOf(weight, bias, y);
  task.wide_x = task.weight.order == nullptr && task.weight.first % kPiece == 0;
  const RoundedRows rows{x, stride};
  WithReader(weight.dtype, LaunchSmallBatch<kMediumTokens / kTokensOfTile, RoundedRows>{task, rows, device.stream()});
  device.Launched("Linear");
}

}  // namespace drover::cuda
