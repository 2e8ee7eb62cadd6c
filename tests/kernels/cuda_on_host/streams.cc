// Streams, events and memory of the stand-in: a stream works in order, beside others once it has had to wait for one of them.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kernels/cuda_on_host/faults.h"

struct cudaStreamStandIn {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;  // its first is the one that runs
  bool ends = false;
  std::chrono::microseconds late{0};
  std::thread thread;
  cudaGraph_t recording = nullptr;  // that takes what is asked meanwhile

  void Start() {
    if (!thread.joinable()) thread = std::thread([this] { Work(); });
  }
  void Push(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    queue.push_back(std::move(work));
    changed.notify_all();
  }
  bool Idle() {
    const std::lock_guard lock(mutex);
    return queue.empty();
  }
  void WaitUntilIdle() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return queue.empty(); });
  }

 private:
  void Work() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ends || !queue.empty(); });
      if (queue.empty()) return;
      const std::function<void()> work = queue.front();
      lock.unlock();
      if (late.count() > 0) std::this_thread::sleep_for(late);
      work();
      lock.lock();
      queue.pop_front();
      changed.notify_all();
    }
  }
};

struct cudaGraphStandIn {
  struct Piece {
    std::function<void()> work;
    bool waits = false;  // for what another thread does
  };
  std::vector<Piece> work;
  bool invalid = false;
};

struct cudaEventStandIn {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t recorded = 0, reached = 0;
    std::chrono::steady_clock::time_point reached_at;
    void Reach(uint64_t record) {
      const std::lock_guard lock(mutex);
      reached = std::max(reached, record);
      reached_at = std::chrono::steady_clock::now();
      changed.notify_all();
    }
    void WaitFor(uint64_t record) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return reached >= record; });
    }
    bool Reached(uint64_t record) {
      const std::lock_guard lock(mutex);
      return reached >= record;
    }
    uint64_t Last() {
      const std::lock_guard lock(mutex);
      return recorded;
    }
  };
  std::shared_ptr<State> state = std::make_shared<State>();  // may outlive its destruction in what is queued
};

namespace cuda_on_host {
namespace {

constexpr size_t kReadableAfterEnd = 64;  // of CudaMemory; kernels are not to rely on it, and here they cannot

std::atomic<int64_t> late_us = -1, late_streams = 0;
std::mutex pinned_mutex;
std::map<const std::byte*, size_t> pinned;

bool IsPinned(const void* at) {
  const std::lock_guard lock(pinned_mutex);
  const auto* byte = static_cast<const std::byte*>(at);
  const auto after = pinned.upper_bound(byte);
  return after != pinned.begin() && byte < std::prev(after)->first + std::prev(after)->second;
}

constexpr int kDevices = 8;
thread_local int current_device = 0;
std::mutex devices_mutex;
std::map<cudaStream_t, int> streams;  // and memory, with their devices
std::map<void*, int> memory;
std::map<void*, long> opened;  // by other ranks, so often

thread_local cudaGraph_t recorded_here = nullptr;  // what this thread has begun to record

// An error, where this thread records.
cudaError_t NotWhileRecording() {
  if (recorded_here == nullptr) return cudaSuccess;
  recorded_here->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t Allocate(void** bytes, size_t size) {
  if (const cudaError_t error = NotWhileRecording(); error != cudaSuccess) return error;
  if (posix_memalign(bytes, 256, size) != 0) return cudaErrorMemoryAllocation;
  std::memset(*bytes, 0xff, size);
  return cudaSuccess;
}

}  // namespace

void Enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream != nullptr && stream->recording != nullptr) return stream->recording->work.push_back({std::move(work)});
  if (stream == nullptr || !stream->thread.joinable()) return work();
  stream->Push(std::move(work));
}

void EnqueueWait(cudaStream_t stream, std::function<void()> work) {
  if (stream->recording != nullptr) return stream->recording->work.push_back({std::move(work), true});
  stream->Start();
  stream->Push(std::move(work));
}

long OpenMemory() {
  const std::lock_guard lock(devices_mutex);
  long count = 0;
  for (const auto& [bytes, times] : opened) count += times;
  return count;
}

void MakeStreamsLate(std::chrono::microseconds late) { late_us = late.count(); }

}  // namespace cuda_on_host

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new cudaStreamStandIn;
  if (const int64_t late = cuda_on_host::late_us; late >= 0) {
    (*stream)->late = std::chrono::microseconds(late * (1 + cuda_on_host::late_streams++ % 3));
    (*stream)->Start();
  }
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  cuda_on_host::streams[*stream] = cuda_on_host::current_device;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->WaitUntilIdle();
  {
    const std::lock_guard lock(stream->mutex);
    stream->ends = true;
    stream->changed.notify_all();
  }
  if (stream->thread.joinable()) stream->thread.join();
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  cuda_on_host::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

namespace {

cudaError_t NotWhileRecorded(cudaStream_t stream) {
  if (stream->recording == nullptr) return cudaSuccess;
  stream->recording->invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

}  // namespace

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = NotWhileRecorded(stream); error != cudaSuccess) return error;
  return stream->WaitUntilIdle(), cuda_on_host::Broken();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t error = NotWhileRecorded(stream); error != cudaSuccess) return error;
  return stream->Idle() ? cuda_on_host::Broken() : cudaErrorNotReady;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recording = cuda_on_host::recorded_here = new cudaGraphStandIn;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream->recording != cuda_on_host::recorded_here) return cudaErrorStreamCaptureWrongThread;
  *graph = std::exchange(stream->recording, nullptr);
  cuda_on_host::recorded_here = nullptr;
  const bool fails = cuda_on_host::CaptureFails();
  if (!fails && !(*graph)->invalid) return cudaSuccess;
  const cudaError_t error = (*graph)->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnsupported;
  delete std::exchange(*graph, nullptr);
  return error;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const cudaGraph_t graph = stream->recording;
  *status = graph == nullptr ? cudaStreamCaptureStatusNone : graph->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new cudaGraphStandIn(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const auto& [work, waits] : exec->work) waits ? cuda_on_host::EnqueueWait(stream, work) : cuda_on_host::Enqueue(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const uint64_t record = event->state->Last();
  if (event->state->Reached(record)) return cudaSuccess;
  cuda_on_host::EnqueueWait(stream, [state = event->state, record] { state->WaitFor(record); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = new cudaEventStandIn, cudaSuccess; }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  uint64_t record = 0;
  {
    const std::lock_guard lock(event->state->mutex);
    record = ++event->state->recorded;
  }
  cuda_on_host::Enqueue(stream, [state = event->state, record] { state->Reach(record); });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return event->state->WaitFor(event->state->Last()), cudaSuccess; }
cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event->state->Reached(event->state->Last()) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  for (cudaEvent_t event : {from, to})
    if (!event->state->Reached(event->state->Last())) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->state->reached_at - from->state->reached_at).count();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t stream) {
  cuda_on_host::Enqueue(stream, [=] { cuda_on_host::CountWork(), std::memcpy(to, from, size); });
  if (kind == cudaMemcpyDeviceToHost && stream != nullptr && !cuda_on_host::IsPinned(to)) stream->WaitUntilIdle();
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* at, int value, size_t size, cudaStream_t stream) {
  cuda_on_host::Enqueue(stream, [=] { cuda_on_host::CountWork(), std::memset(at, value, size); });
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** bytes, size_t size) {
  if (const cudaError_t error = cuda_on_host::Allocate(bytes, size); error != cudaSuccess) return error;
  const std::lock_guard lock(cuda_on_host::pinned_mutex);
  cuda_on_host::pinned[static_cast<const std::byte*>(*bytes)] = size;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* bytes) {
  if (const cudaError_t error = cuda_on_host::NotWhileRecording(); error != cudaSuccess) return error;
  {
    const std::lock_guard lock(cuda_on_host::pinned_mutex);
    cuda_on_host::pinned.erase(static_cast<const std::byte*>(bytes));
  }
  std::free(bytes);
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** bytes, size_t size) {
  if (const cudaError_t broken = cuda_on_host::Broken(); broken != cudaSuccess) return broken;
  if (!cuda_on_host::TakeMemory(size)) return cudaErrorMemoryAllocation;
  const size_t usable = size > cuda_on_host::kReadableAfterEnd ? size - cuda_on_host::kReadableAfterEnd : size;
  if (const cudaError_t error = cuda_on_host::Allocate(bytes, usable); error != cudaSuccess) return error;
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  cuda_on_host::memory[*bytes] = cuda_on_host::current_device;
  return cudaSuccess;
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* bytes) {
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  if (!cuda_on_host::memory.contains(bytes)) return cudaErrorInvalidValue;  // only the whole of an allocation can be shared
  *handle = {};
  std::memcpy(handle->reserved, &bytes, sizeof(bytes));
  return cudaSuccess;
}
cudaError_t cudaIpcOpenMemHandle(void** bytes, cudaIpcMemHandle_t handle, unsigned) {
  if (cuda_on_host::IsApart(cuda_on_host::current_device)) return cudaErrorPeerAccessUnsupported;
  std::memcpy(bytes, handle.reserved, sizeof(*bytes));
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  if (!cuda_on_host::memory.contains(*bytes)) return cudaErrorInvalidValue;
  ++cuda_on_host::opened[*bytes];
  return cudaSuccess;
}
cudaError_t cudaIpcCloseMemHandle(void* bytes) {
  const std::lock_guard lock(cuda_on_host::devices_mutex);
  const auto at = cuda_on_host::opened.find(bytes);
  if (at == cuda_on_host::opened.end()) return cudaErrorInvalidValue;
  if (--at->second == 0) cuda_on_host::opened.erase(at);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) { return *count = cuda_on_host::kDevices, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return cuda_on_host::current_device = device, cudaSuccess; }

// Waits for all streams of the memory's device, as the real one does.
cudaError_t cudaFree(void* bytes) {
  if (const cudaError_t error = cuda_on_host::NotWhileRecording(); error != cudaSuccess) return error;
  std::vector<cudaStream_t> waits;
  {
    const std::lock_guard lock(cuda_on_host::devices_mutex);
    const auto device = cuda_on_host::memory.extract(bytes);
    for (const auto& [stream, its_device] : cuda_on_host::streams)
      if (!device.empty() && its_device == device.mapped()) waits.push_back(stream);
  }
  for (cudaStream_t stream : waits) stream->WaitUntilIdle();
  std::free(bytes);
  return cudaSuccess;
}
