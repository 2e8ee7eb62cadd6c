// See device.h.
#include "kernels/cuda/device.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/backoff.h"

namespace drover {
namespace {

constexpr size_t kHalfBytes = 8 << 20, kStagedAlignment = 64;  // large enough that the bus, not the calls, sets the pace

void FreeOnDevice(std::byte* p) { cudaFree(p); }

absl::Status CheckNumber(int device) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess)
    return Unavailable("no CUDA device: ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
  if (device < 0 || device >= count) return Unavailable("CUDA device ", device, ": found ", count, " devices");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CudaFacts> DescribeCuda(int device) {
  DROVER_RETURN_IF_ERROR(CheckNumber(device));
  CudaFacts facts;
  cudaDeviceProp properties;
  size_t free = 0, total = 0;
  cudaError_t error = cudaSetDevice(device);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, device);
  if (error == cudaSuccess) error = cudaMemGetInfo(&free, &total);
  if (error != cudaSuccess) return Unavailable("CUDA device ", device, ": ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
  return CudaFacts{properties.name, static_cast<int64_t>(free), static_cast<int64_t>(total)};
}

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Open(const CudaOptions& options) {
  DROVER_RETURN_IF_ERROR(CheckNumber(options.device));
  std::unique_ptr<CudaDevice> device(new CudaDevice(options));
  device->Use();
  device->Keep(cudaStreamCreateWithFlags(&device->stream_, cudaStreamNonBlocking), "creating a stream");
  if (!device->status_.ok()) return device->status_;
  return device;
}

CudaDevice::~CudaDevice() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

// The runtime would tell it once more, to whoever asks after the next launch.
absl::Status CudaDevice::Error(cudaError_t error, std::string_view operation) const {
  cudaGetLastError();
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
  Keep(cudaGetLastError(), operation);
  Queued(operation);
}

void CudaDevice::Queued(const char* operation) {
  ++work_;
  last_ = operation;
  if (options_.wait_for_each && !recording_) Keep(WaitForStream());
}

void CudaDevice::Replayed() {
  for (WaitGuard* guard : guards_) guard->WhenReplayed();
  Launched("a recorded step");
}

absl::Status CudaDevice::Poll(const std::function<cudaError_t()>& query, const std::string& operation) {
  for (Backoff backoff;; backoff.Pause()) {
    const cudaError_t error = query();
    if (error == cudaSuccess) return absl::OkStatus();
    if (error != cudaErrorNotReady) return Error(error, operation);
    for (WaitGuard* guard : guards_) DROVER_RETURN_IF_ERROR(guard->WhileWaiting());
    if (std::chrono::steady_clock::now() >= deadline_)
      return DeadlineExceeded("CUDA device ", options_.device, ": ", operation, ": not done by the step's deadline");
  }
}

absl::Status CudaDevice::WaitForStream() {
  DROVER_RETURN_IF_ERROR(Poll([this] { return cudaStreamQuery(stream_); }, Cat(last_, " or an operation before it")));
  for (WaitGuard* guard : guards_) DROVER_RETURN_IF_ERROR(guard->WhenIdle());
  return absl::OkStatus();
}

bool CudaDevice::WaitFor(cudaEvent_t event, const char* operation) {
  absl::Status waited = Poll([event] { return cudaEventQuery(event); }, operation);
  const bool done = waited.ok();
  Keep(std::move(waited));
  return done;
}

absl::Status CudaDevice::Finish() {
  const absl::Status waited = WaitForStream();
  return status_.ok() ? waited : std::exchange(status_, absl::OkStatus());
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
  void* arrivals = nullptr;
  if (const cudaError_t error = cudaMallocHost(&arrivals, kHalfBytes); error != cudaSuccess)
    return device.Error(error, Cat(kHalfBytes, " bytes of pinned memory"));
  memory->arrivals_ = static_cast<std::byte*>(arrivals);
  return memory;
}

CudaMemory::~CudaMemory() {
  cudaStreamSynchronize(device_.stream());
  for (const Half& half : halves_) {
    if (half.left != nullptr) cudaEventDestroy(half.left);
    if (half.bytes != nullptr) cudaFreeHost(half.bytes);
  }
  if (arrivals_ != nullptr) cudaFreeHost(arrivals_);
}

absl::StatusOr<AlignedBytes> CudaMemory::Allocate(int64_t size) {
  device_.Use();
  void* bytes = nullptr;
  if (const cudaError_t error = cudaMalloc(&bytes, static_cast<size_t>(size + AlignedBytes::kReadableAfterEnd)); error != cudaSuccess) {
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

bool CudaMemory::TurnOver() {
  if (!device_.WaitFor(halves_[1 - half_].left, "waiting for an upload")) return false;
  device_.Keep(cudaEventRecord(halves_[half_].left, device_.stream()), "recording an event");
  half_ = 1 - half_;
  used_ = 0;
  return true;
}

void CudaMemory::Upload(std::span<const std::byte> from, std::byte* to) {
  device_.Use();
  while (!from.empty()) {
    if (used_ >= kHalfBytes && !TurnOver()) return;  // the device still reads what would be overwritten
    const size_t piece = std::min(from.size(), kHalfBytes - used_);
    std::byte* staged = halves_[half_].bytes + used_;
    std::memcpy(staged, from.data(), piece);
    device_.Keep(cudaMemcpyAsync(to, staged, piece, cudaMemcpyHostToDevice, device_.stream()), "uploading");
    used_ += (piece + kStagedAlignment - 1) / kStagedAlignment * kStagedAlignment;
    from = from.subspan(piece);
    to += piece;
  }
}

absl::Status CudaMemory::Finish() {
  device_.Use();
  DROVER_RETURN_IF_ERROR(device_.Finish());
  used_ = 0;
  return absl::OkStatus();
}

// A copy to memory that is not pinned would wait inside the driver, where no guard is asked.
absl::Status CudaMemory::Download(const std::byte* from, std::span<std::byte> to) {
  device_.Use();
  if (to.empty()) return Finish();
  while (!to.empty()) {
    const size_t piece = std::min(to.size(), kHalfBytes);
    device_.Keep(cudaMemcpyAsync(arrivals_, from, piece, cudaMemcpyDeviceToHost, device_.stream()), "downloading");
    DROVER_RETURN_IF_ERROR(Finish());
    std::memcpy(to.data(), arrivals_, piece);
    from += piece;
    to = to.subspan(piece);
  }
  return absl::OkStatus();
}

}  // namespace drover
