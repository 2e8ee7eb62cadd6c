// Linear and HeadLinear in f32 over weights in every storage form. A sum takes the columns in an order that only the weight decides, so
// that a token's result does not depend on its batch.
#include "common/check.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/linear_task.cuh"

namespace drover {
namespace cuda {
namespace {

// The products of rows with tokens over 8 columns.
template <int kRows, int kTokens>
__device__ inline void AddPiece(const LinearTask& task, const float* x, int token, int32_t c, const float (&w)[kRows][kPiece],
                                float (&sums)[kTokens][kRows]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    float values[kPiece];
    LoadPiece(task.weight, task.wide_x, x + min(token + t, task.tokens - 1) * task.x_token, c, values);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) sums[t][r] = fmaf(w[r][i], values[i], sums[t][r]);
  }
}

// A lane's share of the sums: chunk after chunk of its rows. A chunk that is not whole is opened piece by piece.
template <class Read, int kRows, int kTokens>
__device__ inline void AddChunks(const LinearTask& task, const float* x, int token, int64_t (&weight_rows)[kRows],
                                 float (&sums)[kTokens][kRows]) {
  const int lane = threadIdx.x % kWarp;
  RowAt rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = RowOf(task.weight, weight_rows[r]);
  for (int chunk = task.first_chunk + task.Part() * kWarp + lane; chunk < task.end_chunk; chunk += task.parts * kWarp) {
    const int32_t c = chunk * kColumns<Read>;
    float w[kRows][kPiece];
    if (task.in_chunks && task.weight.Whole(c, kColumns<Read>)) {
      typename Chunk<Read>::Raw raw[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) raw[r] = Chunk<Read>::Load(task.weight, rows[r], c);
#pragma unroll
      for (int p = 0; p < Chunk<Read>::kPieces; ++p) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) Chunk<Read>::Open(raw[r], p, w[r]);
        AddPiece(task, x, token, c + p * kPiece, w, sums);
      }
    } else {
      for (int32_t at = c; at < min(c + kColumns<Read>, task.weight.end); at += kPiece) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) OpenPiece<Read>(task.weight, weight_rows[r], at, w[r]);
        AddPiece(task, x, token, at, w, sums);
      }
    }
  }
}

// y[t,h,r] = Σ_c W[row r of head h, c]·x[t,h,c] + bias[r]. A group of `parts` warps computes kRows rows for kTokens tokens; their
// lanes take chunks of columns in turn, then the sums of lanes and of warps are added up in their order.
template <class Read, int kRows, int kTokens>
__global__ void __launch_bounds__(kThreads) LinearRows(const LinearTask task) {
  static_assert(kRows * kTokens <= kWarp);
  __shared__ float partial[kWarps][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, head = blockIdx.z;
  const int row = task.RowGroup() * kRows, token = static_cast<int>(blockIdx.y) * kTokens;
  if (row >= task.rows) return;
  int64_t weight_rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) weight_rows[r] = task.WeightRow(head, row + r);
  float sums[kTokens][kRows] = {};
  AddChunks<Read, kRows, kTokens>(task, task.x + head * task.x_head, token, weight_rows, sums);
  float own = 0;  // each lane finishes one sum
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = WarpSum(sums[t][r]);
      if (lane == t * kRows + r) own = sum;
    }
  }
  if (task.parts > 1) {
    partial[warp][lane] = own;
    __syncthreads();
    if (task.Part() != 0) return;
    for (int part = 1; part < task.parts; ++part) own += partial[warp + part][lane];
  }
  const int t = token + lane / kRows, r = row + lane % kRows;
  if (lane >= kRows * kTokens || t >= task.tokens || r >= task.rows) return;
  task.y[t * task.y_token + head * task.y_head + r] = task.bias == nullptr ? own : own + task.bias[r];
}

struct LaunchLinear {
  const LinearTask& task;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    constexpr int kRows = 4, kTokens = 8;
    LinearTask own = task;
    ShareOut<Read>(own, kRows, kWarp);
    dim3 grid(RowBlocks(own, kRows), 1, static_cast<unsigned>(task.heads));
    if (task.tokens == 1) {
      LinearRows<Read, kRows, 1><<<grid, kThreads, 0, stream>>>(own);
    } else {
      grid.y = Blocks(task.tokens, kTokens);
      LinearRows<Read, kRows, kTokens><<<grid, kThreads, 0, stream>>>(own);
    }
  }
};

// y[t,r] = bias[r], or 0.
struct BiasAlone {
  const float* bias;
  float* y;
  int64_t cols;
  __device__ void operator()(int64_t i) const { y[i] = bias == nullptr ? 0 : bias[i % cols]; }
};

}  // namespace
}  // namespace cuda

void CudaOps::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  DROVER_CHECK_EQ(x.rows, y.rows);
  DROVER_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == y.cols);
  DROVER_CHECK(weight.empty() || (weight.rows == y.cols && weight.cols == x.cols));
  const float* added = bias.empty() ? nullptr : bias.data();
  if (weight.empty()) return cuda::ForEach(*device_, "Linear", y.size(), cuda::BiasAlone{added, y.data, y.cols});
  if (y.size() == 0) return;
  if (bf16_ != nullptr && bf16_->Run(weight, added, x, y)) return;
  cuda::LinearTask task{.weight = cuda::ViewOf(weight), .x = x.data, .bias = added, .y = y.data, .x_token = x.cols, .y_token = y.cols};
  task.tokens = static_cast<int32_t>(x.rows);
  task.rows = static_cast<int32_t>(y.cols);
  task.wide_x = cuda::IsWide(task.weight, x.data, x.cols, 0);
  cuda::WithReader(weight.dtype, cuda::LaunchLinear{task, device_->stream()});
  device_->Launched("Linear");
}

void CudaOps::HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  if (part.heads == 0) return;
  DROVER_CHECK(part.first >= 0 && part.rows >= 0 && part.first + part.rows <= part.stride);
  DROVER_CHECK(x.rows == y.rows && x.cols == part.heads * weight.cols && y.cols == part.heads * part.rows);
  DROVER_CHECK_EQ(weight.rows, part.heads * part.stride);
  if (y.size() == 0) return;
  cuda::LinearTask task{.weight = cuda::ViewOf(weight), .x = x.data, .y = y.data, .x_token = x.cols, .x_head = weight.cols,
                        .y_token = y.cols, .y_head = part.rows};
  task.tokens = static_cast<int32_t>(x.rows);
  task.heads = static_cast<int32_t>(part.heads);
  task.rows = static_cast<int32_t>(part.rows);
  task.first_row = static_cast<int32_t>(part.first);
  task.row_stride = static_cast<int32_t>(part.stride);
  task.wide_x = cuda::IsWide(task.weight, x.data, x.cols, weight.cols);
  cuda::WithReader(weight.dtype, cuda::LaunchLinear{task, device_->stream()});
  device_->Launched("HeadLinear");
}

}  // namespace drover
