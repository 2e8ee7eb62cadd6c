// See device.h.
#include "kernels/cuda/device.h"

#include <algorithm>
#include <cstring>

namespace drover {
namespace {

constexpr size_t kHalfBytes = 8 << 20, kStagedAlignment = 64;  // large enough that the bus, not the calls, sets the pace
constexpr int64_t kReadableAfterEnd = 64;

void FreeOnDevice(std::byte* p) { cudaFree(p); }

}  // namespace

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Open(const CudaOptions& options) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess)
    return Unavailable("no CUDA device: ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
  if (options.device < 0 || options.device >= count)
    return Unavailable("CUDA device ", options.device, ": found ", count, " devices");
  std::unique_ptr<CudaDevice> device(new CudaDevice(options));
  device->Use();
  device->Keep(cudaStreamCreateWithFlags(&device->stream_, cudaStreamNonBlocking), "creating a stream");
  if (!device->status_.ok()) return device->status_;
  return device;
}

CudaDevice::~CudaDevice() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::Status CudaDevice::Error(cudaError_t error, std::string_view operation) const {
  const std::string text = Cat("CUDA device ", options_.device, ": ", operation, ": ", cudaGetErrorString(error), " (",
                               cudaGetErrorName(error), ")");
  return error == cudaErrorMemoryAllocation ? ResourceExhausted(text) : Internal(text);
}

void CudaDevice::Keep(cudaError_t error, const char* operation) {
  if (error != cudaSuccess && status_.ok()) status_ = Error(error, operation);
}

void CudaDevice::Keep(absl::Status error) {
  if (status_.ok()) status_ = std::move(error);
}

void CudaDevice::Launched(const char* operation) {
  ++work_;
  last_ = operation;
  Keep(cudaGetLastError(), operation);
  if (options_.wait_for_each) Keep(cudaStreamSynchronize(stream_), operation);
}

absl::Status CudaDevice::Finish() {
  if (const cudaError_t error = cudaStreamSynchronize(stream_); error != cudaSuccess && status_.ok())
    status_ = Error(error, Cat(last_, " or an operation before it"));
  absl::Status status = status_;
  status_ = absl::OkStatus();
  return status;
}

absl::StatusOr<std::unique_ptr<CudaMemory>> CudaMemory::Create(CudaDevice& device) {
  device.Use();
  std::unique_ptr<CudaMemory> memory(new CudaMemory(device));
  for (Half& half : memory->halves_) {
    void* bytes = nullptr;
    if (const cudaError_t error = cudaMallocHost(&bytes, kHalfBytes); error != cudaSuccess)
      return device.Error(error, Cat(kHalfBytes, " bytes of pinned memory"));
    half.bytes = static_cast<std::byte*>(bytes);
    if (const cudaError_t error = cudaEventCreateWithFlags(&half.left, cudaEventDisableTiming); error != cudaSuccess)
      return device.Error(error, "creating an event");
  }
  return memory;
}

CudaMemory::~CudaMemory() {
  cudaStreamSynchronize(device_.stream());
  for (const Half& half : halves_) {
    if (half.left != nullptr) cudaEventDestroy(half.left);
    if (half.bytes != nullptr) cudaFreeHost(half.bytes);
  }
}

absl::StatusOr<AlignedBytes> CudaMemory::Allocate(int64_t size) {
  device_.Use();
  void* bytes = nullptr;
  if (const cudaError_t error = cudaMalloc(&bytes, static_cast<size_t>(size + kReadableAfterEnd)); error != cudaSuccess) {
    cudaGetLastError();  // reported here, not by the next operation
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    return device_.Error(error, Cat("allocating ", size, " bytes, ", free, " of ", total, " are free"));
  }
  return AlignedBytes(static_cast<std::byte*>(bytes), size, FreeOnDevice);
}

void CudaMemory::Zero(std::span<std::byte> at) {
  device_.Use();
  if (!at.empty()) device_.Keep(cudaMemsetAsync(at.data(), 0, at.size(), device_.stream()), "zeroing memory");
}

void CudaMemory::Copy(std::span<const std::byte> from, std::byte* to) {
  device_.Use();
  if (from.empty()) return;
  device_.Keep(cudaMemcpyAsync(to, from.data(), from.size(), cudaMemcpyDeviceToDevice, device_.stream()), "copying on the device");
}

void CudaMemory::TurnOver() {
  device_.Keep(cudaEventRecord(halves_[half_].left, device_.stream()), "recording an event");
  half_ = 1 - half_;
  used_ = 0;
  device_.Keep(cudaEventSynchronize(halves_[half_].left), "waiting for an upload");
}

void CudaMemory::Upload(std::span<const std::byte> from, std::byte* to) {
  device_.Use();
  while (!from.empty()) {
    if (used_ >= kHalfBytes) TurnOver();
    const size_t piece = std::min(from.size(), kHalfBytes - used_);
    std::byte* staged = halves_[half_].bytes + used_;
    std::memcpy(staged, from.data(), piece);
    device_.Keep(cudaMemcpyAsync(to, staged, piece, cudaMemcpyHostToDevice, device_.stream()), "uploading");
    used_ += (piece + kStagedAlignment - 1) / kStagedAlignment * kStagedAlignment;
    from = from.subspan(piece);
    to += piece;
  }
}

absl::Status CudaMemory::Download(const std::byte* from, std::span<std::byte> to) {
  device_.Use();
  if (!to.empty()) device_.Keep(cudaMemcpyAsync(to.data(), from, to.size(), cudaMemcpyDeviceToHost, device_.stream()), "downloading");
  return device_.Finish();
}

}  // namespace drover
