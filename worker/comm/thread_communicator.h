// ThreadCommunicator: N ranks as threads of one process. Ranks publish their buffers, meet, and read each other's memory.
#pragma once

#include <memory>
#include <vector>

#include "worker/comm/communicator.h"

namespace drover {

class ThreadMeeting;

class ThreadCommunicator : public Communicator {
 public:
  // One communicator for each of `ranks` threads; element r belongs to rank r.
  static std::vector<std::unique_ptr<Communicator>> MakeGroup(int64_t ranks);

  // The meeting is shared by the ranks of the group, whoever ends last.
  using Deadline = std::chrono::steady_clock::time_point;
  ThreadCommunicator(std::shared_ptr<ThreadMeeting> meeting, int64_t rank, std::shared_ptr<Deadline> deadline);

  int64_t rank() const override { return rank_; }
  int64_t size() const override;
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override { *deadline_ = deadline; }
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override;

 private:
  std::shared_ptr<ThreadMeeting> meeting_;
  const int64_t rank_;
  const std::shared_ptr<Deadline> deadline_;  // of this rank, shared with what was split off
};

}  // namespace drover
