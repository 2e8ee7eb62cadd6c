// RMS, layer and L2 norms, those of a sum, and the RMS norm in two halves: one block of threads for each group of columns.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int kRowThreads = 1024;  // of a row: few loads of a thread follow each other

// A group of columns: x + a, or x where a is null.
struct NormTask {
  float* x = nullptr;
  const float* a = nullptr;
  const float *gain = nullptr, *bias = nullptr;  // may be null
  float* y = nullptr;
  int64_t width = 0;
  float eps = 0;

  __device__ void GoTo(int64_t group) {
    x += group * width;
    y += group * width;
    if (a != nullptr) a += group * width;
  }
  __device__ float Value(int64_t i) const { return a == nullptr ? x[i] : x[i] + a[i]; }
  // x[i] ← value, y[i] ← gain ⊙ normed + bias. y may be a: a thread has read its own values of it.
  __device__ void Write(int64_t i, float value, float normed) const {
    if (a != nullptr) x[i] = value;
    const float scaled = gain == nullptr ? normed : gain[i] * normed;
    y[i] = bias == nullptr ? scaled : scaled + bias[i];
  }
};

// y = gain ⊙ x / sqrt(mean x² + eps), after x ← x + a.
__global__ void __launch_bounds__(kRowThreads) RmsNormGroups(NormTask task) {
  task.GoTo(blockIdx.x);
  float squares = 0;
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) squares = fmaf(task.Value(i), task.Value(i), squares);
  const float scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(task.width) + task.eps);
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) task.Write(i, task.Value(i), task.Value(i) * scale);
}

// y = gain ⊙ (x - mean x) / sqrt(mean (x - mean x)² + eps) + bias, after x ← x + a.
__global__ void __launch_bounds__(kRowThreads) LayerNormGroups(NormTask task) {
  task.GoTo(blockIdx.x);
  float sum = 0, squares = 0;
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) sum += task.Value(i);
  const float mean = BlockSum(sum) / static_cast<float>(task.width);
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) squares = fmaf(task.Value(i) - mean, task.Value(i) - mean, squares);
  const float scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(task.width) + task.eps);
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) {
    const float value = task.Value(i);
    task.Write(i, value, (value - mean) * scale);
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

const float* OrNull(std::span<const float> values) { return values.empty() ? nullptr : values.data(); }

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
  const auto size = static_cast<size_t>(x.cols);
  DROVER_CHECK(a.rows == x.rows && a.cols == x.cols && x.rows == y.rows && x.cols == y.cols);
  DROVER_CHECK((norm.layer_norm && norm.gain.empty()) || norm.gain.size() == size);
  DROVER_CHECK(norm.bias.empty() || (norm.layer_norm && norm.bias.size() == size));
  cuda::LaunchNorm(*device_, "AddNorm", norm.layer_norm ? cuda::LayerNormGroups : cuda::RmsNormGroups, x.size(),
                   {.x = x.data, .a = a.data, .gain = cuda::OrNull(norm.gain), .bias = cuda::OrNull(norm.bias), .y = y.data,
                    .width = x.cols, .eps = norm.eps});
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
