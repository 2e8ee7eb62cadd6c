// See near_communicator.h.
#include "tests/worker/near_communicator.h"

namespace drover {
namespace {

// A buffer of the host, in the other memory.
template <class T>
class Far {
 public:
  static absl::StatusOr<Far> Of(std::span<T> near, Memory& memory) {
    Far far;
    far.near_ = near;
    DROVER_ASSIGN_OR_RETURN(far.bytes_, memory.Allocate(static_cast<int64_t>(near.size_bytes()) + 1));
    memory.Upload(std::as_bytes(near), far.bytes_.data());
    return far;
  }
  std::span<T> span() { return {reinterpret_cast<T*>(bytes_.data()), near_.size()}; }
  absl::Status Back(Memory& memory) { return memory.Download(bytes_.data(), std::as_writable_bytes(near_)); }

 private:
  std::span<T> near_;
  AlignedBytes bytes_;
};

}  // namespace

absl::Status NearCommunicator::AllReduceSum(std::span<float> x) {
  DROVER_ASSIGN_OR_RETURN(auto far, Far<float>::Of(x, memory_));
  DROVER_RETURN_IF_ERROR(far_.AllReduceSum(far.span()));
  return far.Back(memory_);
}

absl::Status NearCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_ASSIGN_OR_RETURN(auto far_mine, Far<const float>::Of(mine, memory_));
  DROVER_ASSIGN_OR_RETURN(auto far_all, Far<float>::Of(all, memory_));
  DROVER_RETURN_IF_ERROR(far_.AllGather(far_mine.span(), counts, far_all.span()));
  return far_all.Back(memory_);
}

absl::Status NearCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                        std::span<const int64_t> receive_counts) {
  DROVER_ASSIGN_OR_RETURN(auto far_send, Far<const float>::Of(send, memory_));
  DROVER_ASSIGN_OR_RETURN(auto far_receive, Far<float>::Of(receive, memory_));
  DROVER_RETURN_IF_ERROR(far_.AllToAll(far_send.span(), send_counts, far_receive.span(), receive_counts));
  return far_receive.Back(memory_);
}

absl::Status NearCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_ASSIGN_OR_RETURN(auto far, Far<std::byte>::Of(bytes, memory_));
  DROVER_RETURN_IF_ERROR(far_.Broadcast(far.span(), root));
  return far.Back(memory_);
}

absl::Status NearCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_ASSIGN_OR_RETURN(auto far, Far<const std::byte>::Of(bytes, memory_));
  DROVER_RETURN_IF_ERROR(far_.Send(far.span(), to));
  std::byte nothing{};
  return memory_.Download(far.span().data(), {&nothing, bytes.empty() ? size_t{0} : size_t{1}});
}

absl::Status NearCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  DROVER_ASSIGN_OR_RETURN(auto far, Far<std::byte>::Of(bytes, memory_));
  DROVER_RETURN_IF_ERROR(far_.Receive(far.span(), from));
  return far.Back(memory_);
}

absl::StatusOr<std::unique_ptr<Communicator>> NearCommunicator::Split(int64_t parts) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> far, far_.Split(parts));
  return std::make_unique<NearCommunicator>(std::move(far), memory_);
}

}  // namespace drover
