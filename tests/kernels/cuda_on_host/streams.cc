// Streams, events and graphs of the stand-in: a stream works in order, beside others.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/kernels/cuda_on_host/runtime.h"

struct CUstream_st {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> queue;  // its first is the one that runs
  bool ends = false;
  int device = 0;
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

struct RecordedPiece {
  std::function<void()> work;
  bool waits = false;  // for what another thread does
};
struct CUgraph_st {
  std::vector<RecordedPiece> work;
  bool invalid = false;
};
struct CUgraphExec_st {
  std::vector<RecordedPiece> work;
};

struct CUevent_st {
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
  int device = 0;
  cudaGraph_t recording = nullptr;  // that it was recorded in; it stands for a place there, and is reached by nobody
};

namespace cuda_on_host {
namespace {

std::atomic<int64_t> late_us = 0, late_streams = 0;

std::mutex streams_mutex;
std::set<cudaStream_t> streams;

thread_local cudaGraph_t recorded_here = nullptr;  // what this thread has begun to record
thread_local cudaError_t last_error = cudaSuccess;

// An error, after which the recording comes to nothing.
cudaError_t Void(cudaGraph_t recording, cudaError_t error) {
  if (recording != nullptr) recording->invalid = true;
  return Told(error);
}

}  // namespace

cudaError_t Told(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t NotWhileRecording() {
  return recorded_here == nullptr ? cudaSuccess : Void(recorded_here, cudaErrorStreamCaptureUnsupported);
}

void WaitForDevice(int device) {
  std::vector<cudaStream_t> waits;
  {
    const std::lock_guard lock(streams_mutex);
    std::ranges::copy_if(streams, std::back_inserter(waits), [device](cudaStream_t stream) { return stream->device == device; });
  }
  for (cudaStream_t stream : waits) stream->WaitUntilIdle();
}

cudaError_t MayLaunch(cudaStream_t stream) {
  if (stream->recording != nullptr && stream->recording->invalid) return Told(cudaErrorStreamCaptureInvalidated);
  return Told(stream->device == CurrentDevice() ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

void Enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream->recording != nullptr) return stream->recording->work.push_back({std::move(work)});
  if (!stream->thread.joinable()) return work();
  stream->Push(std::move(work));
}

void EnqueueWait(cudaStream_t stream, std::function<void()> work) {
  if (stream->recording != nullptr) return stream->recording->work.push_back({std::move(work), true});
  stream->Start();
  stream->Push(std::move(work));
}

void MakeStreamsLate(std::chrono::microseconds late) { late_us = late.count(); }

}  // namespace cuda_on_host

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st{.device = cuda_on_host::CurrentDevice()};
  if (const int64_t late = cuda_on_host::late_us; late >= 0) {
    (*stream)->late = std::chrono::microseconds(late * (1 + cuda_on_host::late_streams++ % 3));
    (*stream)->Start();
  }
  const std::lock_guard lock(cuda_on_host::streams_mutex);
  cuda_on_host::streams.insert(*stream);
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
  const std::lock_guard lock(cuda_on_host::streams_mutex);
  cuda_on_host::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

namespace {

// How far a stream is may be asked by nobody while it records, and by no thread that records.
cudaError_t MayAsk(cudaStream_t stream) {
  if (stream->recording != nullptr) return cuda_on_host::Void(stream->recording, cudaErrorStreamCaptureUnsupported);
  return cuda_on_host::NotWhileRecording();
}
cudaError_t MayAsk(cudaEvent_t event) {
  if (event->recording != nullptr) return cuda_on_host::Told(cudaErrorCapturedEvent);
  return cuda_on_host::NotWhileRecording();
}

}  // namespace

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = MayAsk(stream); error != cudaSuccess) return error;
  return stream->WaitUntilIdle(), cuda_on_host::Broken();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (const cudaError_t error = MayAsk(stream); error != cudaSuccess) return error;
  return stream->Idle() ? cuda_on_host::Broken() : cudaErrorNotReady;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->recording = cuda_on_host::recorded_here = new CUgraph_st;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (stream->recording != cuda_on_host::recorded_here) return cuda_on_host::Told(cudaErrorStreamCaptureWrongThread);
  *graph = std::exchange(stream->recording, nullptr);
  cuda_on_host::recorded_here = nullptr;
  const bool fails = cuda_on_host::CaptureFails();
  if (!fails && !(*graph)->invalid) return cudaSuccess;
  const cudaError_t error = (*graph)->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnsupported;
  delete std::exchange(*graph, nullptr);
  return cuda_on_host::Told(error);
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const cudaGraph_t graph = stream->recording;
  *status = graph == nullptr ? cudaStreamCaptureStatusNone : graph->invalid ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  for (const auto& [work, waits] : exec->work) waits ? cuda_on_host::EnqueueWait(stream, work) : cuda_on_host::Enqueue(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return delete exec, cudaSuccess; }

// A recording and what is outside of it do not wait for each other.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->recording != stream->recording) return cuda_on_host::Void(stream->recording, cudaErrorStreamCaptureIsolation);
  if (stream->recording != nullptr) return cudaSuccess;  // its own place
  const uint64_t record = event->state->Last();
  if (event->state->Reached(record)) return cudaSuccess;
  cuda_on_host::EnqueueWait(stream, [state = event->state, record] { state->WaitFor(record); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return *event = new CUevent_st{.device = cuda_on_host::CurrentDevice()}, cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event->device != stream->device) return cuda_on_host::Told(cudaErrorInvalidResourceHandle);
  event->recording = stream->recording;
  if (event->recording != nullptr) return cudaSuccess;
  uint64_t record = 0;
  {
    const std::lock_guard lock(event->state->mutex);
    record = ++event->state->recorded;
  }
  cuda_on_host::Enqueue(stream, [state = event->state, record] { state->Reach(record); });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = MayAsk(event); error != cudaSuccess) return error;
  return event->state->WaitFor(event->state->Last()), cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = MayAsk(event); error != cudaSuccess) return error;
  return event->state->Reached(event->state->Last()) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  for (cudaEvent_t event : {from, to})
    if (!event->state->Reached(event->state->Last())) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->state->reached_at - from->state->reached_at).count();
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t last = std::exchange(cuda_on_host::last_error, cudaSuccess), broken = cuda_on_host::Broken();
  return broken == cudaSuccess ? last : broken;
}
