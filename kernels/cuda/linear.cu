// Linear and HeadLinear over weights in every storage form. A sum takes the columns in an order that only the weight decides, so
// that a token's result does not depend on its batch.
#include "common/check.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_view.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int kWarps = kThreads / kWarp;

// Matrices of `heads` heads, all in one weight; a plain matrix is one head. Strides are in values, between rows or heads.
struct LinearTask {
  WeightView weight;
  const float* x = nullptr;
  const float* bias = nullptr;  // may be null
  float* y = nullptr;
  int64_t x_token = 0, x_head = 0, y_token = 0, y_head = 0;
  int32_t tokens = 0, heads = 1;
  int32_t rows = 0, first_row = 0, row_stride = 0;  // of a head's part of the weight
  bool wide_x = false;  // four activations can be loaded at once

  __device__ int64_t WeightRow(int32_t head, int32_t row) const { return int64_t{head} * row_stride + first_row + row; }
};

// The 8 activations that meet the stored columns from c on; zero where there are none.
__device__ inline void LoadPiece(const LinearTask& task, const float* x, int32_t c, float* values) {
  const WeightView& weight = task.weight;
  if (task.wide_x && weight.Whole(c)) {
    const float4* at = reinterpret_cast<const float4*>(x + (c - weight.first));
    const float4 a = at[0], b = at[1];
    values[0] = a.x, values[1] = a.y, values[2] = a.z, values[3] = a.w;
    values[4] = b.x, values[5] = b.y, values[6] = b.z, values[7] = b.w;
    return;
  }
  for (int i = 0; i < kPiece; ++i) values[i] = weight.Has(c + i) ? x[weight.Meets(c + i)] : 0;
}

// y[t,h,r] = Σ_c W[row r of head h, c]·x[t,h,c] + bias[r]. A warp computes kRows rows for kTokens tokens; its lanes take pieces of
// 8 columns in turn, then their sums are added up.
template <class Read, int kRows, int kTokens>
__global__ void __launch_bounds__(kThreads) LinearRows(const LinearTask task) {
  const int lane = threadIdx.x % kWarp, head = blockIdx.z;
  const int row = (static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp) * kRows;
  const int token = static_cast<int>(blockIdx.y) * kTokens;
  if (row >= task.rows) return;
  const float* x = task.x + head * task.x_head;
  float sums[kTokens][kRows] = {};
  for (int c = task.weight.first / kPiece * kPiece + lane * kPiece; c < task.weight.end; c += kWarp * kPiece) {
    float w[kRows][kPiece];
#pragma unroll
    for (int r = 0; r < kRows; ++r) OpenPiece<Read>(task.weight, task.WeightRow(head, min(row + r, task.rows - 1)), c, w[r]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      float values[kPiece];
      LoadPiece(task, x + min(token + t, task.tokens - 1) * task.x_token, c, values);
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sums[t][r] = fmaf(w[r][i], values[i], sums[t][r]);
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = WarpSum(sums[t][r]);
      if (lane != 0 || token + t >= task.tokens || row + r >= task.rows) continue;
      task.y[(token + t) * task.y_token + head * task.y_head + row + r] = task.bias == nullptr ? sum : sum + task.bias[row + r];
    }
  }
}

struct LaunchLinear {
  const LinearTask& task;
  cudaStream_t stream;

  template <int kRows, int kTokens>
  dim3 Grid() const {
    return {Blocks(task.rows, kWarps * kRows), Blocks(task.tokens, kTokens), static_cast<unsigned>(task.heads)};
  }
  template <class Read>
  void operator()(Read) const {
    if (task.tokens == 1)
      LinearRows<Read, 2, 1><<<Grid<2, 1>(), kThreads, 0, stream>>>(task);
    else
      LinearRows<Read, 4, 8><<<Grid<4, 8>(), kThreads, 0, stream>>>(task);
  }
};

// y[t,r] = bias[r], or 0.
struct BiasAlone {
  const float* bias;
  float* y;
  int64_t cols;
  __device__ void operator()(int64_t i) const { y[i] = bias == nullptr ? 0 : bias[i % cols]; }
};

bool IsWide(const WeightView& weight, const float* x, int64_t x_token, int64_t x_head) {
  return weight.order == nullptr && weight.first % 4 == 0 && x_token % 4 == 0 && x_head % 4 == 0 &&
         reinterpret_cast<uintptr_t>(x) % 16 == 0;
}

}  // namespace
}  // namespace cuda

void CudaOps::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  DROVER_CHECK_EQ(x.rows, y.rows);
  DROVER_CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == y.cols);
  DROVER_CHECK(weight.empty() || (weight.rows == y.cols && weight.cols == x.cols));
  const float* added = bias.empty() ? nullptr : bias.data();
  if (weight.empty()) return cuda::ForEach(*device_, "Linear", y.size(), cuda::BiasAlone{added, y.data, y.cols});
  if (y.size() == 0) return;
  if (bf16_ != nullptr && x.rows > kFewTokens && bf16_->Run(weight, added, x, y)) return;
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
