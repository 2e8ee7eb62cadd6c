// Launch shapes, element-wise launches and reductions over a block: what all kernels share.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/device.h"

namespace drover::cuda {

inline constexpr int kWarp = 32, kThreads = 256;
inline constexpr unsigned kAllLanes = 0xffffffffu;

inline unsigned Blocks(int64_t n, int64_t each) { return static_cast<unsigned>((n + each - 1) / each); }

// Threads of a block that works on `n` values: whole warps, at most `most`.
inline unsigned ThreadsFor(int64_t n, int64_t most = kThreads) {
  return static_cast<unsigned>(std::clamp<int64_t>((n + kWarp - 1) / kWarp * kWarp, kWarp, most));
}

// f(i) for every i < n.
template <class F>
__global__ void Each(int64_t n, F f) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) f(i);
}

template <class F>
void ForEach(CudaDevice& device, const char* operation, int64_t n, const F& f) {
  constexpr int64_t kBlocksMax = 1 << 16;
  if (n <= 0) return;
  const unsigned blocks = Blocks(std::min(n, kBlocksMax * kThreads), kThreads);
  Each<F><<<blocks, kThreads, 0, device.stream()>>>(n, f);
  device.Launched(operation);
}

template <class T>
__device__ inline T WarpSum(T value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

__device__ inline float WarpMax(float value) {
  for (int step = kWarp / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  return value;
}

// Σ value over the block's threads, the same bits in each. All threads call it.
template <class T>
__device__ inline T BlockSum(T value) {
  __shared__ T sums[kWarp];
  const int warps = blockDim.x / kWarp;
  value = WarpSum(value);
  __syncthreads();  // of a sum before this one
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = 0;
  for (int warp = 0; warp < warps; ++warp) sum += sums[warp];
  return sum;
}

}  // namespace drover::cuda
