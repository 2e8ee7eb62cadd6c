// See faults.h. A process may be given its faults in the environment: CUDA_ON_HOST_FAULTS="memory=100000" or "bad_kernel=500".
#include "tests/kernels/cuda_on_host/faults.h"

#include <atomic>
#include <cstdlib>
#include <sstream>
#include <string>

#include "tests/kernels/cuda_on_host/runtime.h"

namespace cuda_on_host {
namespace {

std::atomic<long> work_done, memory_left, launches_to_fault, launches_to_loss, captures_to_fail, device_apart = -1;
std::atomic<int> broken = cudaSuccess;

Faults FromEnvironment() {
  Faults faults;
  const char* text = std::getenv("CUDA_ON_HOST_FAULTS");
  std::istringstream words(text == nullptr ? "" : text);
  for (std::string name, value; std::getline(words, name, '=') && std::getline(words, value, ',');)
    for (const auto& [known, field] : {std::pair<const char*, long&>{"memory", faults.memory}, {"bad_kernel", faults.bad_kernel}, {"lost", faults.lost}, {"capture", faults.capture}, {"apart", faults.apart}})
      if (name == known) field = std::atol(value.c_str());
  return faults;
}

const bool ready = (SetFaults(FromEnvironment()), true);

}  // namespace

void SetFaults(const Faults& faults) {
  memory_left = faults.memory;
  launches_to_fault = faults.bad_kernel;
  launches_to_loss = faults.lost;
  captures_to_fail = faults.capture;
  device_apart = faults.apart;
  broken = cudaSuccess;
}

cudaError_t Broken() { return ready ? static_cast<cudaError_t>(broken.load()) : cudaSuccess; }

bool TakeMemory(size_t size) {
  if (memory_left < 0) return true;  // not limited
  const long left = memory_left -= static_cast<long>(size);
  if (left >= 0) return true;
  memory_left += static_cast<long>(size);
  return false;
}

bool CaptureFails() { return captures_to_fail > 0 && captures_to_fail-- > 0; }

bool IsApart(int device) { return device == device_apart; }

long WorkDone() { return work_done; }
void CountWork() { ++work_done; }

void CountLaunch() {
  CountWork();
  if (launches_to_fault >= 0 && launches_to_fault-- == 0) broken = cudaErrorIllegalAddress;
  if (launches_to_loss >= 0 && launches_to_loss-- == 0) broken = cudaErrorDevicesUnavailable;
}

}  // namespace cuda_on_host

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorDevicesUnavailable: return "cudaErrorDevicesUnavailable";
    case cudaErrorPeerAccessUnsupported: return "cudaErrorPeerAccessUnsupported";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent: return "cudaErrorCapturedEvent";
    default: return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue: return "invalid argument";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorPeerAccessUnsupported: return "peer access is not supported between these two devices";
    case cudaErrorDevicesUnavailable: return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorStreamCaptureUnsupported: return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated: return "operation failed due to a previous error during capture";
    case cudaErrorStreamCaptureIsolation: return "dependency created on uncaptured work in another stream";
    case cudaErrorCapturedEvent: return "operation not permitted on an event last recorded in a capturing stream";
    default: return "unknown error";
  }
}
