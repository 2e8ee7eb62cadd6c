// RMS, layer and L2 norms, those of a sum, and the RMS norm in two halves: one block of threads for each group of columns.
#include "common/check.h"
#include "kernels/cuda/norm.cuh"

namespace drover {
namespace cuda {
namespace {

__global__ void __launch_bounds__(kRowThreads) RmsNormGroups(NormTask task) {
  task.GoTo(blockIdx.x);
  RmsNormGroup(task);
}

__global__ void __launch_bounds__(kRowThreads) LayerNormGroups(NormTask task) {
  task.GoTo(blockIdx.x);
  LayerNormGroup(task);
}

// sums[t] = Σ_i x[t,i]² from column `first` on.
__global__ void SumSquaresRows(const float* x, int64_t cols, int64_t first, float* sums) {
  x += blockIdx.x * cols;
  float squares = 0;
  for (int64_t i = first + threadIdx.x; i < cols; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
  squares = BlockSum(squares);
  if (threadIdx.x == 0) sums[blockIdx.x] = squares;
}

struct ScaledBySquares {
  const float* sums;
  const float* gain;
  float* x;
  int64_t cols;
  float width, eps;
  __device__ void operator()(int64_t i) const { x[i] = gain[i % cols] * (x[i] * (1 / sqrtf(sums[i / cols] / width + eps))); }
};

// One of the kernels above over `values` values.
void LaunchNorm(CudaDevice& device, const char* operation, void (*kernel)(NormTask), int64_t values, const NormTask& task) {
  if (values == 0) return;
  kernel<<<Blocks(values, task.width), ThreadsFor(task.width, kRowThreads), 0, device.stream()>>>(task);
  device.Launched(operation);
}

}  // namespace
}  // namespace cuda

void CudaOps::RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) {
  const auto width = static_cast<int64_t>(gain.size());
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  cuda::LaunchNorm(*device_, "RmsNorm", cuda::RmsNormGroups, x.size(), {.x = x.data, .gain = gain.data(), .y = y.data, .width = width, .eps = eps});
}

void CudaOps::L2Norm(int64_t width, float eps, Tensor x) {
  DROVER_CHECK(width > 0 && x.cols % width == 0);
  cuda::LaunchNorm(*device_, "L2Norm", cuda::RmsNormGroups, x.size(), {.x = x.data, .y = x.data, .width = width, .eps = eps});
}

void CudaOps::LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) {
  const auto size = static_cast<size_t>(width);
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  DROVER_CHECK((gain.empty() || gain.size() == size) && (bias.empty() || bias.size() == size));
  cuda::LaunchNorm(*device_, "LayerNorm", cuda::LayerNormGroups, x.size(),
                   {.x = x.data, .gain = cuda::OrNull(gain), .bias = cuda::OrNull(bias), .y = y.data, .width = width, .eps = eps});
}

void CudaOps::AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  cuda::LaunchNorm(*device_, "AddNorm", norm.layer_norm ? cuda::LayerNormGroups : cuda::RmsNormGroups, x.size(), cuda::AddNormTask(a, norm, x, y));
}

void CudaOps::SumSquares(Tensor x, int64_t first, std::span<float> sums) {
  DROVER_CHECK(first >= 0 && first <= x.cols && static_cast<int64_t>(sums.size()) == x.rows);
  if (x.rows == 0) return;
  cuda::SumSquaresRows<<<cuda::Blocks(x.rows, 1), cuda::ThreadsFor(x.cols), 0, device_->stream()>>>(x.data, x.cols, first, sums.data());
  device_->Launched("SumSquares");
}

void CudaOps::ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x) {
  DROVER_CHECK(static_cast<int64_t>(sums.size()) == x.rows && static_cast<int64_t>(gain.size()) == x.cols);
  cuda::ForEach(*device_, "ScaleBySquares", x.size(),
                cuda::ScaledBySquares{sums.data(), gain.data(), x.data, x.cols, static_cast<float>(width), eps});
}

}  // namespace drover
