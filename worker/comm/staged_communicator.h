// StagedCommunicator: the ranks of another communicator, which reads the host's memory, met from a device's memory: what goes out is
// downloaded first, what comes in is uploaded. Each call waits for the device. For devices whose ranks have no way of their own.
#pragma once

#include <memory>
#include <vector>

#include "kernels/memory.h"
#include "worker/comm/communicator.h"

namespace drover {

class StagedCommunicator : public Communicator {
 public:
  // Both outlive it.
  StagedCommunicator(Communicator& ranks, Memory& memory) : ranks_(ranks), memory_(memory) {}

  int64_t rank() const override { return ranks_.rank(); }
  int64_t size() const override { return ranks_.size(); }
  void SetDeadline(std::chrono::steady_clock::time_point deadline) override { ranks_.SetDeadline(deadline); }
  absl::Status AllReduceSum(std::span<float> x) override;
  absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) override;
  absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                        std::span<const int64_t> receive_counts) override;
  absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) override;
  absl::Status Send(std::span<const std::byte> bytes, int64_t to) override;
  absl::Status Receive(std::span<std::byte> bytes, int64_t from) override;
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) override;
  void Abort() override { ranks_.Abort(); }

 private:
  // Of a run that was split off: it owns the run's communicator.
  StagedCommunicator(std::unique_ptr<Communicator> run, Memory& memory) : owned_(std::move(run)), ranks_(*owned_), memory_(memory) {}

  // The bytes on the host, in a buffer of this object.
  absl::StatusOr<std::span<std::byte>> Out(std::span<const std::byte> bytes);
  // A buffer of this object for `size` bytes.
  std::span<std::byte> Room(size_t size);

  const std::unique_ptr<Communicator> owned_;
  Communicator& ranks_;
  Memory& memory_;
  std::vector<std::byte> out_, in_;
};

}  // namespace drover
