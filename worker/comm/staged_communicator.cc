// See staged_communicator.h.
#include "worker/comm/staged_communicator.h"

namespace drover {
namespace {

std::span<float> Floats(std::span<std::byte> bytes) {
  return {static_cast<float*>(static_cast<void*>(bytes.data())), bytes.size() / sizeof(float)};
}

}  // namespace

absl::StatusOr<std::span<std::byte>> StagedCommunicator::Out(std::span<const std::byte> bytes) {
  out_.resize(bytes.size());
  DROVER_RETURN_IF_ERROR(memory_.Download(bytes.data(), out_));
  return std::span(out_);
}

std::span<std::byte> StagedCommunicator::Room(size_t size) {
  in_.resize(size);
  return in_;
}

absl::Status StagedCommunicator::AllReduceSum(std::span<float> x) {
  DROVER_ASSIGN_OR_RETURN(const std::span<std::byte> host, Out(std::as_bytes(x)));
  DROVER_RETURN_IF_ERROR(ranks_.AllReduceSum(Floats(host)));
  memory_.Upload(host, std::as_writable_bytes(x).data());
  return absl::OkStatus();
}

absl::Status StagedCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_ASSIGN_OR_RETURN(const std::span<std::byte> host, Out(std::as_bytes(mine)));
  const std::span<std::byte> gathered = Room(all.size_bytes());
  DROVER_RETURN_IF_ERROR(ranks_.AllGather(Floats(host), counts, Floats(gathered)));
  memory_.Upload(gathered, std::as_writable_bytes(all).data());
  return absl::OkStatus();
}

absl::Status StagedCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                          std::span<const int64_t> receive_counts) {
  DROVER_ASSIGN_OR_RETURN(const std::span<std::byte> host, Out(std::as_bytes(send)));
  const std::span<std::byte> received = Room(receive.size_bytes());
  DROVER_RETURN_IF_ERROR(ranks_.AllToAll(Floats(host), send_counts, Floats(received), receive_counts));
  memory_.Upload(received, std::as_writable_bytes(receive).data());
  return absl::OkStatus();
}

absl::Status StagedCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_ASSIGN_OR_RETURN(const std::span<std::byte> host, Out(bytes));
  DROVER_RETURN_IF_ERROR(ranks_.Broadcast(host, root));
  memory_.Upload(host, bytes.data());
  return absl::OkStatus();
}

absl::Status StagedCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_ASSIGN_OR_RETURN(const std::span<std::byte> host, Out(bytes));
  return ranks_.Send(host, to);
}

absl::Status StagedCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  const std::span<std::byte> received = Room(bytes.size());
  DROVER_RETURN_IF_ERROR(ranks_.Receive(received, from));
  memory_.Upload(received, bytes.data());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Communicator>> StagedCommunicator::Split(int64_t parts) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> run, ranks_.Split(parts));
  return std::unique_ptr<Communicator>(new StagedCommunicator(std::move(run), memory_));
}

}  // namespace drover
