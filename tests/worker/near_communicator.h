// NearCommunicator: over the host's memory, a communicator of a device: every call takes its buffers there, what an output held before
// too, waits, and takes the results back. So one conformance suite serves all communicators.
#pragma once

#include "kernels/memory.h"
#include "worker/comm/communicator.h"

namespace drover {

class NearCommunicator : public Communicator {
 public:
  // Both outlive it.
  NearCommunicator(Communicator& far, Memory& memory) : far_(far), memory_(memory) {}
  NearCommunicator(std::unique_ptr<Communicator> far, Memory& memory) : owned_(std::move(far)), far_(*owned_), memory_(memory) {}

  int64_t rank() const override { return far_.rank(); }
  int64_t size() const override { return far_.size(); }
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override { far_.SetDeadline(deadline); }
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override { far_.Abort(); }

 private:
  std::unique_ptr<Communicator> owned_;
  Communicator& far_;
  Memory& memory_;
};

}  // namespace drover
