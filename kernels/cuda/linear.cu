// Linear and HeadLinear in f32 over weights in every storage form. A sum takes the columns in an order that only the weight decides, so
// that a token's result does not depend on its batch.
#include "common/check.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/linear_rows.cuh"

namespace drover {
namespace cuda {
namespace {

// A block's rows of one head, for kTokens tokens.
template <class Read, int kRows, int kTokens>
__global__ void __launch_bounds__(kThreads) LinearRows(const LinearTask task) {
  const int head = blockIdx.z, token = static_cast<int>(blockIdx.y) * kTokens;
  const float* x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) x[t] = task.x + head * task.x_head + min(token + t, task.tokens - 1) * task.x_token;
  MultiplyRows<Read, kRows, kTokens>(task, head, token, x);
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
