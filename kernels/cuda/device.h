// CudaDevice: one GPU with one stream, and the first error met there. CudaMemory: its memory, reached through pinned staging.
// Used by one thread at a time.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/memory.h"

namespace drover {

// What a wait of the host for the device asks, on the waiting thread: other ranks may be what the device waits for.
class WaitGuard {
 public:
  virtual ~WaitGuard() = default;
  // Between polls: an error ends the wait.
  virtual absl::Status WhileWaiting() = 0;
  // The stream has nothing left to do; an error says that its results are worth nothing.
  virtual absl::Status WhenIdle() = 0;
  // A recorded step was queued again; what of it waits for other ranks does so again.
  virtual void WhenReplayed() {}
};

class CudaDevice {
 public:
  static absl::StatusOr<std::unique_ptr<CudaDevice>> Open(const CudaOptions& options);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  cudaStream_t stream() const { return stream_; }
  int index() const { return options_.device; }
  // Changes with everything that is asked of the device. Whoever writes into its memory by other means (a communicator, a graph that
  // is captured or launched) calls Use(), Launched() or Queued() beside it: what is kept between operations depends on that.
  uint64_t work() const { return work_; }
  // Makes this the calling thread's device.
  void Use() {
    ++work_;
    Keep(cudaSetDevice(options_.device), "choosing the device");
  }
  // After each launch: keeps its error, if any.
  void Launched(const char* operation);
  // After work was queued by other means than a launch.
  void Queued(const char* operation);
  // The same for a recorded step.
  void Replayed();
  // Between the two, what is asked is recorded and nothing waits.
  void set_recording(bool recording) { recording_ = recording; }
  bool recording() const { return recording_; }
  // What was recorded is void, and what is being recorded comes to nothing: `forget`, which the device's recordings set.
  void set_forget(std::function<void()> forget) { forget_ = std::move(forget); }
  void Forget() const {
    if (forget_) forget_();
  }
  void Keep(cudaError_t error, const char* operation);
  void Keep(absl::Status error);
  // Waits for the stream; the first error kept since the last call.
  absl::Status Finish();
  // Waits for the event; what goes wrong is kept, and the answer false.
  bool WaitFor(cudaEvent_t event, const char* operation);
  // Waits end by then at the latest.
  void SetDeadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }
  // What was kept so far, which is forgotten.
  absl::Status TakeKept() { return std::exchange(status_, absl::OkStatus()); }
  // The error as a status, which alone tells it from now on.
  absl::Status Error(cudaError_t error, std::string_view operation) const;

  // Every wait asks the guard, until it is taken away.
  void Watch(WaitGuard& guard) { guards_.push_back(&guard); }
  void Unwatch(WaitGuard& guard) { std::erase(guards_, &guard); }
  // Whether other ranks take part in its work.
  bool watched() const { return !guards_.empty(); }

 private:
  explicit CudaDevice(const CudaOptions& options) : options_(options) {}
  // Polls until `query` has more to say than that it is not ready.
  absl::Status Poll(const std::function<cudaError_t()>& query, const std::string& operation);
  absl::Status WaitForStream();

  const CudaOptions options_;
  cudaStream_t stream_ = nullptr;
  const char* last_ = "nothing";  // launched
  uint64_t work_ = 0;
  bool recording_ = false;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  absl::Status status_;
  std::vector<WaitGuard*> guards_;
  std::function<void()> forget_;
};

class CudaMemory : public Memory {
 public:
  static absl::StatusOr<std::unique_ptr<CudaMemory>> Create(CudaDevice& device);
  ~CudaMemory() override;

  bool on_host() const override { return false; }
  absl::StatusOr<AlignedBytes> Allocate(int64_t size) override;
  void Zero(std::span<std::byte> at) override;
  void Copy(std::span<const std::byte> from, std::byte* to) override;
  void Upload(std::span<const std::byte> from, std::byte* to) override;
  absl::Status Download(const std::byte* from, std::span<std::byte> to) override;
  // Waits as CudaDevice::Finish does. What was uploaded has left then, so that the next uploads find the same staging memory, which the
  // host's caches still hold.
  absl::Status Finish();

 private:
  explicit CudaMemory(CudaDevice& device) : device_(device) {}
  // On to the other half of the staging memory, once its last bytes have left it; false: they have not.
  bool TurnOver();

  struct Half {
    std::byte* bytes = nullptr;
    cudaEvent_t left = nullptr;
  };
  CudaDevice& device_;
  std::array<Half, 2> halves_;
  size_t half_ = 0, used_ = 0;
  std::byte* arrivals_ = nullptr;  // pinned as well: what comes from the device passes here
};

}  // namespace drover
