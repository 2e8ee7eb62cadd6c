// LoopbackCommunicator: N ranks as N threads of one process on one GPU, each with a stream of its own. Ranks publish pointers and
// events, meet on the host, and their streams wait for each other; the host waits for no device.
#pragma once

#include <vector>

#include "kernels/cuda/device.h"
#include "worker/comm/communicator.h"
#include "worker/comm/thread_meeting.h"

namespace drover {

class LoopbackWatch;

class LoopbackCommunicator : public Communicator {
 public:
  // Element r belongs to rank r, whose thread alone uses devices[r]; the devices are one GPU and outlive the group.
  static absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> MakeGroup(std::span<CudaDevice* const> devices);

  ~LoopbackCommunicator() override;
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return meeting_->size(); }
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override;
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  // Returns when the receiver has come, too.
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override;

 private:
  LoopbackCommunicator(std::shared_ptr<ThreadMeeting> meeting, int64_t rank, std::shared_ptr<LoopbackWatch> watch);
  static absl::StatusOr<std::unique_ptr<Communicator>> Create(std::shared_ptr<ThreadMeeting> meeting, int64_t rank,
                                                              std::shared_ptr<LoopbackWatch> watch);

  // Publishes this rank's buffer as it will be when the stream gets here; returns when all ranks have done so.
  absl::Status Offer(ThreadMeeting::Published mine);
  // Returns when all ranks have queued what they take; what this stream does next waits for that to be done.
  absl::Status Close();
  // This stream waits for what another one has recorded.
  void Await(void* event);
  void Copy(const void* from, size_t bytes, void* to);
  absl::StatusOr<cudaEvent_t> RecordNew();
  absl::Status Meet();
  // The end of the whole group.
  absl::Status Fail(const absl::Status& why);

  const std::shared_ptr<ThreadMeeting> meeting_;
  const int64_t rank_;
  const std::shared_ptr<LoopbackWatch> watch_;  // of this rank, shared with what was split off
  CudaDevice& device_;
  cudaEvent_t ready_ = nullptr, taken_ = nullptr;
};

}  // namespace drover
