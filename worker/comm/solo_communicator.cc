// See solo_communicator.h.
#include "worker/comm/solo_communicator.h"

#include <algorithm>

#include "worker/comm/arguments.h"

namespace drover {

absl::Status SoloCommunicator::Alive() const {
  return aborted_->load() ? Aborted("the group was aborted") : absl::OkStatus();
}

void SoloCommunicator::Copy(std::span<const float> from, std::span<float> to) const {
  if (memory_ != nullptr)
    memory_->Copy(std::as_bytes(from), std::as_writable_bytes(to).data());
  else
    std::ranges::copy(from, to.begin());
}

absl::Status SoloCommunicator::AllReduceSum(std::span<float>) { return Alive(); }

absl::Status SoloCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckGather(mine.size(), counts, 0, 1, all.size()));
  Copy(mine, all);
  return absl::OkStatus();
}

absl::Status SoloCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                        std::span<const int64_t> receive_counts) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll send", send_counts, 1, send.size()));
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll receive", receive_counts, 1, receive.size()));
  if (send.size() != receive.size()) return InvalidArgument("AllToAll: rank 0 sends ", send.size(), ", rank 0 expects ", receive.size());
  Copy(send, receive);
  return absl::OkStatus();
}

absl::Status SoloCommunicator::Broadcast(std::span<std::byte>, int64_t root) {
  DROVER_RETURN_IF_ERROR(Alive());
  return CheckRoot(root, 1);
}

absl::StatusOr<std::unique_ptr<Communicator>> SoloCommunicator::Split(int64_t parts) {
  DROVER_RETURN_IF_ERROR(CheckSplit(parts, 1));
  return std::make_unique<SoloCommunicator>(*this);
}

absl::Status SoloCommunicator::Send(std::span<const std::byte>, int64_t to) { return CheckPeer("Send", to, 0, 1); }
absl::Status SoloCommunicator::Receive(std::span<std::byte>, int64_t from) { return CheckPeer("Receive", from, 0, 1); }

}  // namespace drover
