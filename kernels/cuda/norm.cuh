// RMS and layer norms of one group of columns, by one block of threads, which may add another row to it first.
#pragma once

#include <span>

#include "common/check.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/ops.h"

namespace drover::cuda {

inline constexpr int kRowThreads = 1024;  // of a row at most: few loads of a thread follow each other

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
__device__ inline void RmsNormGroup(const NormTask& task) {
  float squares = 0;
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) squares = fmaf(task.Value(i), task.Value(i), squares);
  const float scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(task.width) + task.eps);
  for (int64_t i = threadIdx.x; i < task.width; i += blockDim.x) task.Write(i, task.Value(i), task.Value(i) * scale);
}

// y = gain ⊙ (x - mean x) / sqrt(mean (x - mean x)² + eps) + bias, after x ← x + a.
__device__ inline void LayerNormGroup(const NormTask& task) {
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

inline const float* OrNull(std::span<const float> values) { return values.empty() ? nullptr : values.data(); }

// Of whole rows: see Ops::AddNorm.
inline NormTask AddNormTask(Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  const auto size = static_cast<size_t>(x.cols);
  DROVER_CHECK(a.rows == x.rows && a.cols == x.cols && x.rows == y.rows && x.cols == y.cols);
  DROVER_CHECK((norm.layer_norm && norm.gain.empty()) || norm.gain.size() == size);
  DROVER_CHECK(norm.bias.empty() || (norm.layer_norm && norm.bias.size() == size));
  return {.x = x.data, .a = a.data, .gain = OrNull(norm.gain), .bias = OrNull(norm.bias), .y = y.data, .width = x.cols, .eps = norm.eps};
}

}  // namespace drover::cuda
