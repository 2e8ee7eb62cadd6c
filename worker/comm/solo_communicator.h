// SoloCommunicator: a group of one rank, over the host's memory or another. Sums and gathers are copies; there is nobody to send to.
#pragma once

#include <atomic>

#include "kernels/memory.h"
#include "worker/comm/communicator.h"

namespace drover {

class SoloCommunicator : public Communicator {
 public:
  SoloCommunicator() = default;
  // `memory` outlives it.
  explicit SoloCommunicator(Memory& memory) : memory_(&memory) {}

  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  bool recordable() const override { return true; }
  void SetDeadline(std::chrono::steady_clock::time_point) override {}
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override { aborted_->store(true); }

 private:
  absl::Status Alive() const;
  void Copy(std::span<const float> from, std::span<float> to) const;

  Memory* memory_ = nullptr;  // null: the host's
  std::shared_ptr<std::atomic<bool>> aborted_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace drover
