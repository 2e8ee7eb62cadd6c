// Devices of the stand-in: how many there are, what they say of themselves, and what their kernels may have of shared memory.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/runtime.h"

namespace cuda_on_host {
namespace {

constexpr int kDevices = 8;
constexpr size_t kMemoryBytes = size_t{4} << 30;
// Of sm_90.
constexpr int kComputeCapability = 90, kMultiprocessors = 132, kSharedOfMultiprocessor = 228 << 10, kSharedMost = 227 << 10;
constexpr size_t kSharedUnasked = 48 << 10;

thread_local int current_device = 0;
std::mutex mutex;
std::map<const void*, size_t> allowed;  // bytes of shared memory that launches may ask for, by kernel

}  // namespace

int CurrentDevice() { return current_device; }

void CheckShared(const void* kernel, size_t bytes) {
  const size_t own = OwnShared(kernel);
  const std::lock_guard lock(mutex);
  const auto at = allowed.find(kernel);
  DROVER_CHECK_LE(own + bytes, std::max(kSharedUnasked, at == allowed.end() ? 0 : own + at->second));
}

}  // namespace cuda_on_host

using namespace cuda_on_host;  // NOLINT: what follows has the runtime's names

cudaError_t cudaGetDeviceCount(int* count) { return *count = kDevices, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return current_device = device, cudaSuccess; }
cudaError_t cudaGetDevice(int* device) { return *device = current_device, cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { return *free = *total = kMemoryBytes, cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "stand-in");
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = kComputeCapability / 10; return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor: *value = kComputeCapability % 10; return cudaSuccess;
    case cudaDevAttrMultiProcessorCount: *value = kMultiprocessors; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = kSharedOfMultiprocessor; return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = kSharedMost; return cudaSuccess;
    default: return Told(cudaErrorInvalidValue);
  }
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const int most = kSharedMost - static_cast<int>(OwnShared(kernel));
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > most) return Told(cudaErrorInvalidValue);
  const std::lock_guard lock(mutex);
  allowed[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}
