// RMS, layer and L2 norms, and the RMS norm in two halves: one block of threads for each group of columns.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

// y = gain ⊙ x / sqrt(mean x² + eps); gain may be null.
__global__ void RmsNormGroups(const float* x, int64_t width, const float* gain, float eps, float* y) {
  x += blockIdx.x * width;
  y += blockIdx.x * width;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(x[i], x[i], squares);
  const float scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(width) + eps);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) y[i] = gain == nullptr ? x[i] * scale : gain[i] * (x[i] * scale);
}

// y = gain ⊙ (x - mean x) / sqrt(mean (x - mean x)² + eps) + bias; gain and bias may be null.
__global__ void LayerNormGroups(const float* x, int64_t width, const float* gain, const float* bias, float eps, float* y) {
  x += blockIdx.x * width;
  y += blockIdx.x * width;
  float sum = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) sum += x[i];
  const float mean = BlockSum(sum) / static_cast<float>(width);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) squares = fmaf(x[i] - mean, x[i] - mean, squares);
  const float scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(width) + eps);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    const float normed = (x[i] - mean) * scale;
    y[i] = (gain == nullptr ? normed : gain[i] * normed) + (bias == nullptr ? 0 : bias[i]);
  }
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

}  // namespace
}  // namespace cuda

void CudaOps::RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) {
  const auto width = static_cast<int64_t>(gain.size());
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  if (x.size() == 0) return;
  cuda::RmsNormGroups<<<cuda::Blocks(x.size(), width), cuda::ThreadsFor(width), 0, device_->stream()>>>(x.data, width, gain.data(), eps,
                                                                                                        y.data);
  device_->Launched("RmsNorm");
}

void CudaOps::L2Norm(int64_t width, float eps, Tensor x) {
  DROVER_CHECK(width > 0 && x.cols % width == 0);
  if (x.size() == 0) return;
  cuda::RmsNormGroups<<<cuda::Blocks(x.size(), width), cuda::ThreadsFor(width), 0, device_->stream()>>>(x.data, width, nullptr, eps, x.data);
  device_->Launched("L2Norm");
}

void CudaOps::LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) {
  const auto size = static_cast<size_t>(width);
  DROVER_CHECK(width > 0 && x.rows == y.rows && x.cols == y.cols && x.cols % width == 0);
  DROVER_CHECK((gain.empty() || gain.size() == size) && (bias.empty() || bias.size() == size));
  if (x.size() == 0) return;
  cuda::LayerNormGroups<<<cuda::Blocks(x.size(), width), cuda::ThreadsFor(width), 0, device_->stream()>>>(
      x.data, width, gain.empty() ? nullptr : gain.data(), bias.empty() ? nullptr : bias.data(), eps, y.data);
  device_->Launched("LayerNorm");
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
