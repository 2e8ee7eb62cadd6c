// MpiCommunicator: ranks of one mpirun. Every call is non-blocking and polled against the deadline, so that a dead or frozen peer is
// an error here and not a hang. Made by MpiSession.
#pragma once

#include <mpi.h>

#include <atomic>
#include <memory>
#include <vector>

#include "worker/comm/communicator.h"

namespace drover {

class MpiCommunicator : public Communicator {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  // `dead` is set on the first failure and outlives the communicator, like the deadline, which is shared with what is split off.
  MpiCommunicator(MPI_Comm comm, std::shared_ptr<std::atomic<bool>> dead, std::shared_ptr<Deadline> deadline, int64_t elements_max);
  ~MpiCommunicator() override;

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override { *deadline_ = deadline; }
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override { dead_->store(true); }

 private:
  absl::Status Alive() const;
  absl::Status Fail(absl::Status why);
  // Polls what was started (its code was `started`) to its end.
  absl::Status Finish(int started, std::span<MPI_Request> requests, std::string_view call);
  // Sends to one rank while receiving from another, in pieces.
  absl::Status Exchange(std::span<const std::byte> send, int64_t to, std::span<std::byte> receive, int64_t from);
  absl::Status SumByGather(std::span<float> x);
  absl::Status SumByScatter(std::span<float> x);

  MPI_Comm comm_;
  std::shared_ptr<std::atomic<bool>> dead_;
  const std::shared_ptr<Deadline> deadline_;
  const int64_t elements_max_;
  int64_t rank_ = 0, size_ = 1;
  std::vector<float> gathered_, slice_;  // of a sum; at most kSumBlock floats of each rank
};

}  // namespace drover
