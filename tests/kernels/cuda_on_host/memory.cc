// Memory of the stand-in: the host's own, but each piece is known as a device's or as pinned. Copies and kernels are told where they
// take one for the other, as on a GPU they would read what is not there.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/kernels/cuda_on_host/runtime.h"

namespace cuda_on_host {
namespace {

constexpr size_t kReadableAfterEnd = 64;  // of CudaMemory; kernels are not to rely on it, and here they cannot
constexpr int kPinned = -1;

struct Piece {
  size_t size = 0;
  int device = kPinned;
};
std::mutex mutex;
std::map<uintptr_t, Piece> pieces;
std::atomic<uint64_t> frees = 0;
std::map<void*, long> opened;  // by other ranks, so often

// The piece that begins there or before, if the address is none beyond its end; under the mutex.
std::map<uintptr_t, Piece>::const_iterator PieceAround(uintptr_t address) {
  const auto after = pieces.upper_bound(address);
  if (after == pieces.begin()) return pieces.end();
  const auto piece = std::prev(after);
  return address - piece->first <= piece->second.size ? piece : pieces.end();
}

// The piece that holds these bytes, of which there may be none, at its end.
std::optional<Piece> PieceAt(const void* at, size_t size) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const std::lock_guard lock(mutex);
  const auto around = PieceAround(address);
  if (around == pieces.end() || size > around->second.size - (address - around->first)) return std::nullopt;
  return around->second;
}

bool IsPinned(const void* at, size_t size) {
  const std::optional<Piece> piece = PieceAt(at, size);
  return piece.has_value() && piece->device == kPinned;
}
bool IsOnDevice(const void* at, size_t size) {
  const std::optional<Piece> piece = PieceAt(at, size);
  return piece.has_value() && piece->device != kPinned;
}
bool Overlap(const void* a, const void* b, size_t size) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y + size && y < x + size;
}

cudaError_t Allocate(void** bytes, size_t size, int device) {
  if (const cudaError_t error = NotWhileRecording(); error != cudaSuccess) return error;
  if (posix_memalign(bytes, 256, size) != 0) return Told(cudaErrorMemoryAllocation);
  std::memset(*bytes, 0xff, size);
  const std::lock_guard lock(mutex);
  pieces[reinterpret_cast<uintptr_t>(*bytes)] = {size, device};
  return cudaSuccess;
}

// What it was; it is free from now on.
Piece Forget(void* bytes) {
  const std::lock_guard lock(mutex);
  const auto piece = pieces.extract(reinterpret_cast<uintptr_t>(bytes));
  DROVER_CHECK(!piece.empty());
  ++frees;
  return piece.mapped();
}

// Whether a device's piece begins there: only the whole of an allocation can be shared.
bool Begins(void* bytes) {
  const std::lock_guard lock(mutex);
  const auto piece = pieces.find(reinterpret_cast<uintptr_t>(bytes));
  return piece != pieces.end() && piece->second.device != kPinned;
}

// Whether the process has memory there.
bool IsMapped(uintptr_t address) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char here = 0;
  return mincore(reinterpret_cast<void*>(address / page * page), 1, &here) == 0;
}

}  // namespace

void CheckWords(const void* argument, size_t size) {
  constexpr uintptr_t kProgram = 0x5000'0000'0000, kEnd = 0x8000'0000'0000;  // programs, heaps and stacks lie there; few numbers do
  for (size_t at = 0; at + sizeof(uintptr_t) <= size; at += sizeof(uintptr_t)) {
    uintptr_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(argument) + at, sizeof(word));
    if (word < kProgram || word >= kEnd || PieceAt(reinterpret_cast<void*>(word), 0)) continue;
    DROVER_CHECK(!IsMapped(word));  // a kernel is given a pointer to the host's memory
  }
}

Range RangeAt(uintptr_t address) {
  const std::lock_guard lock(mutex);
  const auto around = PieceAround(address);
  if (around == pieces.end() || address == around->first + around->second.size) return {};
  return {around->first, around->first + around->second.size};
}

const std::atomic<uint64_t>& Frees() { return frees; }

long OpenMemory() {
  const std::lock_guard lock(mutex);
  long count = 0;
  for (const auto& [bytes, times] : opened) count += times;
  return count;
}

}  // namespace cuda_on_host

using namespace cuda_on_host;  // NOLINT: what follows has the runtime's names

cudaError_t cudaMalloc(void** bytes, size_t size) {
  if (const cudaError_t broken = Broken(); broken != cudaSuccess) return broken;
  if (!TakeMemory(size)) return Told(cudaErrorMemoryAllocation);
  return Allocate(bytes, size > kReadableAfterEnd ? size - kReadableAfterEnd : size, CurrentDevice());
}

cudaError_t cudaMallocHost(void** bytes, size_t size) { return Allocate(bytes, size, kPinned); }

// Waits for all streams of the memory's device, as the real one does.
cudaError_t cudaFree(void* bytes) {
  if (bytes == nullptr) return cudaSuccess;
  if (const cudaError_t error = NotWhileRecording(); error != cudaSuccess) return error;
  const std::optional<Piece> piece = PieceAt(bytes, 0);
  DROVER_CHECK(piece.has_value() && piece->device != kPinned);
  WaitForDevice(piece->device);
  Forget(bytes);
  std::free(bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* bytes) {
  if (const cudaError_t error = NotWhileRecording(); error != cudaSuccess) return error;
  DROVER_CHECK_EQ(Forget(bytes).device, kPinned);
  std::free(bytes);
  return cudaSuccess;
}

// Refused: memory of another kind than was said, and bytes beyond a piece's end or in each other's way.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
  if (size == 0) return cudaSuccess;
  if (IsOnDevice(to, to_device ? size : 0) != to_device || IsOnDevice(from, from_device ? size : 0) != from_device || Overlap(to, from, size))
    return Told(cudaErrorInvalidValue);
  Enqueue(stream, [=] { CountWork(), std::memcpy(to, from, size); });
  if (kind != cudaMemcpyDeviceToDevice && !IsPinned(to_device ? from : to, size)) return cudaStreamSynchronize(stream);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* at, int value, size_t size, cudaStream_t stream) {
  if (!IsOnDevice(at, size)) return Told(cudaErrorInvalidValue);
  Enqueue(stream, [=] { CountWork(), std::memset(at, value, size); });
  return cudaSuccess;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* bytes) {
  if (!Begins(bytes)) return Told(cudaErrorInvalidValue);
  *handle = {};
  std::memcpy(handle->reserved, &bytes, sizeof(bytes));
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** bytes, cudaIpcMemHandle_t handle, unsigned) {
  if (IsApart(CurrentDevice())) return Told(cudaErrorPeerAccessUnsupported);
  std::memcpy(bytes, handle.reserved, sizeof(*bytes));
  if (!Begins(*bytes)) return Told(cudaErrorInvalidValue);
  const std::lock_guard lock(mutex);
  ++opened[*bytes];
  return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void* bytes) {
  const std::lock_guard lock(mutex);
  const auto at = opened.find(bytes);
  if (at == opened.end()) return Told(cudaErrorInvalidValue);
  if (--at->second == 0) opened.erase(at);
  return cudaSuccess;
}
