// A stand-in for CUDA's own header of this name: kernels compiled as C++ run on the host, so that their equations and addresses are
// tested (and sanitised) on machines without a GPU. What only a GPU does, such as its order of threads, is not shown by that.
#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __launch_bounds__(...)
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
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

// The runtime: some devices whose memory is the host's.
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorPeerAccessUnsupported = 217,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorCapturedEvent = 907,
  cudaErrorStreamCaptureWrongThread = 909
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
struct cudaStreamStandIn;
struct cudaEventStandIn;
struct cudaGraphStandIn;
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive, cudaStreamCaptureStatusInvalidated };
using cudaGraph_t = cudaGraphStandIn*;
using cudaGraphExec_t = cudaGraphStandIn*;
using cudaStream_t = cudaStreamStandIn*;
using cudaEvent_t = cudaEventStandIn*;
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2;

namespace cuda_on_host {

// See faults.h.
cudaError_t Broken();
void CountLaunch();
void CountWork();

// What the stream does in its order, by a thread of its own; see MakeStreamsLate.
void Enqueue(cudaStream_t stream, std::function<void()> work);
// The same for work that waits for what another thread does.
void EnqueueWait(cudaStream_t stream, std::function<void()> work);
// The threads of later streams are late for each piece of work, by one to three times this. Below 0: such streams do at once what they
// are asked, and have a thread from their first wait on.
void MakeStreamsLate(std::chrono::microseconds late);

// False, with an error to be asked for: this thread has chosen another device than the stream's, or what the stream records is void.
bool MayLaunch(cudaStream_t stream);
// No word of an argument may be the address of memory that is the host's alone.
void CheckWords(const void* argument, size_t size);
template <class T>
[[gnu::noinline]] void CheckArgument(T argument) {
  __builtin_clear_padding(&argument);
  CheckWords(&argument, sizeof(argument));
}
// Beyond 48 KiB a kernel takes what it was allowed to before.
void CheckShared(const void* kernel, size_t bytes);
void AllowShared(const void* kernel, int bytes);

// KERNEL<<<grid, block, shared, stream>>>(arguments): they are copied here, as a GPU's driver copies them.
template <class... Parameters>
void Launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, void (*kernel)(Parameters...),
            std::type_identity_t<Parameters>... arguments) {
  if (!MayLaunch(stream)) return;
  (CheckArgument(arguments), ...);
  CheckShared(reinterpret_cast<const void*>(kernel), shared_bytes);
  Enqueue(stream, [=] {
    CountLaunch();
    if (Broken() == cudaSuccess) Run(grid, block, shared_bytes, [&] { kernel(arguments...); });
  });
}

}  // namespace cuda_on_host

cudaError_t cudaMalloc(void** bytes, size_t size);
cudaError_t cudaFree(void* bytes);
cudaError_t cudaMallocHost(void** bytes, size_t size);
cudaError_t cudaFreeHost(void* bytes);
// With memory of the host that is not pinned it waits, as the real one may.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* at, int value, size_t size, cudaStream_t stream);
// Memory of another rank. Ranks are threads here, so that this gives what the real one refuses within a process: the same address.
struct cudaIpcMemHandle_t {
  char reserved[64];
};
inline constexpr unsigned cudaIpcMemLazyEnablePeerAccess = 1;
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* bytes);
cudaError_t cudaIpcOpenMemHandle(void** bytes, cudaIpcMemHandle_t handle, unsigned flags);
cudaError_t cudaIpcCloseMemHandle(void* bytes);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
// The error of this thread's last call that had one, once; a device that is broken has it for ever.
cudaError_t cudaGetLastError();
struct cudaDeviceProp {
  char name[256] = "stand-in";
};
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) { return *properties = {}, cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = size_t{4} << 30, cudaSuccess; }
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) { return *value = 227 << 10, cudaSuccess; }
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int bytes) {
  return cuda_on_host::AllowShared(reinterpret_cast<const void*>(kernel), bytes), cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
// What is asked of a stream between the first two is not done, but kept; a launch does it. Meanwhile nobody may ask the stream how far
// it is; nor may the thread that began take or free memory, ask how far any stream or event is, or wait for an event of another stream:
// that is an error, and the recording is void.
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
// By the host's clock.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
