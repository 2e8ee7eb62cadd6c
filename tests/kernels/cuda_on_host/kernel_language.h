// The language of kernels for a compiler of the host, so that their equations and addresses are tested (and sanitised) on machines
// without a GPU. What only a GPU does, such as its order of threads, is not shown by that. translate.py lets each file of CUDA include it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <type_traits>

#include "tests/kernels/cuda_on_host/runtime.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

// Of the thread that runs. Streams with a thread of their own run kernels beside each other.
extern constinit thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();
void __syncwarp();

namespace cuda_on_host {

// Runs the kernel for every thread of every block, one block after the other.
void Run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& kernel);
inline dim3 Dim(unsigned n) { return {n}; }
inline dim3 Dim(dim3 n) { return n; }
float* DynamicShared();
// What the warp's lane `from` gives; all lanes must be there.
uint32_t Exchange(uint32_t value, unsigned from);
// all[l] = what lane l of the warp shows; all lanes must be there.
void Gather(const void* own, size_t bytes, void* all);
unsigned Lane();

template <class T>
T ExchangeAs(T value, unsigned from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  if constexpr (sizeof(T) == 8) {  // as the device does: a half at a time
    const auto bits = __builtin_bit_cast(uint64_t, value);
    const uint64_t low = Exchange(static_cast<uint32_t>(bits), from), high = Exchange(static_cast<uint32_t>(bits >> 32), from);
    return __builtin_bit_cast(T, high << 32 | low);
  } else {
    return __builtin_bit_cast(T, Exchange(__builtin_bit_cast(uint32_t, value), from));
  }
}

}  // namespace cuda_on_host

template <class T>
T __shfl_xor_sync(unsigned, T value, int step) {
  return cuda_on_host::ExchangeAs(value, cuda_on_host::Lane() ^ static_cast<unsigned>(step));
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return cuda_on_host::ExchangeAs(value, static_cast<unsigned>(lane));
}
inline float __uint_as_float(unsigned bits) { return __builtin_bit_cast(float, bits); }
inline unsigned __float_as_uint(float value) { return __builtin_bit_cast(unsigned, value); }
// Four bits a byte, of which the last counts nothing: which byte of x and y it is.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned places) {
  const uint64_t from = uint64_t{y} << 32 | x;
  unsigned bytes = 0;
  for (int i = 0; i < 4; ++i) bytes |= (static_cast<unsigned>(from >> 8 * (places >> 4 * i & 7)) & 255) << 8 * i;
  return bytes;
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}
template <class T>
T __ldcs(const T* at) {
  return *at;
}
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline void __nanosleep(unsigned) { std::this_thread::yield(); }
inline int atomicAdd(int* to, int value) { return __atomic_fetch_add(to, value, __ATOMIC_RELAXED); }

namespace cuda_on_host {

template <class T>
[[gnu::noinline]] void CheckArgument(T argument) {
  __builtin_clear_padding(&argument);
  CheckWords(&argument, sizeof(argument));
}
// KERNEL<<<grid, block, shared, stream>>>(arguments): they are copied here, as a GPU's driver copies them.
template <class... Parameters>
void Launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  if (MayLaunch(stream) != cudaSuccess) return;
  (CheckArgument(arguments), ...);
  CheckShared(reinterpret_cast<const void*>(kernel), shared_bytes);
  Enqueue(stream, [=] {
    CountLaunch();
    if (Broken() == cudaSuccess) Run(grid, block, shared_bytes, [&] { kernel(arguments...); });
  });
}

}  // namespace cuda_on_host

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}
