// See loopback_communicator.h.
#include "worker/comm/loopback_communicator.h"

#include <cstring>

#include "common/check.h"
#include "models/shard.h"
#include "worker/comm/arguments.h"
#include "worker/comm/loopback_sum.h"

namespace drover {
namespace {

constexpr int64_t kOneShotFloats = 4096;  // sums up to this are made by rank 0 alone: one small kernel instead of one for each rank

// What a sender posts to a receiver, and back.
struct Letter {
  const void* data = nullptr;
  size_t size = 0;
  void* event = nullptr;  // becomes the reader's
};

Range SummedBy(int64_t rank, int64_t size, int64_t length) {
  if (length > kOneShotFloats) return PartOf(length, rank, size);
  return {0, rank == 0 ? length : 0};
}

}  // namespace

// Tells waits for the device that the group is dead, or the step late.
class LoopbackWatch : public WaitGuard {
 public:
  LoopbackWatch(CudaDevice& device, std::shared_ptr<ThreadMeeting> meeting) : device_(device), meeting_(std::move(meeting)) {
    device_.Watch(*this);
  }
  ~LoopbackWatch() override { device_.Unwatch(*this); }

  absl::Status WhileWaiting() override {
    if (queued && std::chrono::steady_clock::now() >= deadline)
      meeting_->Abort(DeadlineExceeded("CUDA device ", device_.index(), ": a collective was not done by the step's deadline"));
    return meeting_->status();
  }
  absl::Status WhenIdle() override {
    queued = false;
    return meeting_->status();
  }

  CudaDevice& device() { return device_; }
  // The end of the group and all its runs.
  void Abort(const absl::Status& why) { meeting_->Abort(why); }
  ThreadMeeting::Deadline deadline = ThreadMeeting::Deadline::max();
  bool queued = false;  // work that waits for other ranks, since the device was last idle

 private:
  CudaDevice& device_;
  const std::shared_ptr<ThreadMeeting> meeting_;
};

absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> LoopbackCommunicator::MakeGroup(std::span<CudaDevice* const> devices) {
  const auto ranks = static_cast<int64_t>(devices.size());
  if (ranks < 1 || ranks > kLoopbackRanksMax)
    return InvalidArgument("loopback: found ", ranks, " ranks, expected 1 to ", kLoopbackRanksMax);
  auto meeting = std::make_shared<ThreadMeeting>(ranks);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    auto watch = std::make_shared<LoopbackWatch>(*devices[static_cast<size_t>(rank)], meeting);
    DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> member, Create(meeting, rank, std::move(watch)));
    group.push_back(std::move(member));
  }
  return group;
}

absl::StatusOr<std::unique_ptr<Communicator>> LoopbackCommunicator::Create(std::shared_ptr<ThreadMeeting> meeting, int64_t rank,
                                                                           std::shared_ptr<LoopbackWatch> watch) {
  std::unique_ptr<LoopbackCommunicator> made(new LoopbackCommunicator(std::move(meeting), rank, std::move(watch)));
  made->device_.Use();
  for (cudaEvent_t* event : {&made->ready_, &made->taken_})
    if (const cudaError_t error = cudaEventCreateWithFlags(event, cudaEventDisableTiming); error != cudaSuccess)
      return made->device_.Error(error, "creating an event");
  return made;
}

LoopbackCommunicator::LoopbackCommunicator(std::shared_ptr<ThreadMeeting> meeting, int64_t rank, std::shared_ptr<LoopbackWatch> watch)
    : meeting_(std::move(meeting)), rank_(rank), watch_(std::move(watch)), device_(watch_->device()) {}

LoopbackCommunicator::~LoopbackCommunicator() {
  for (cudaEvent_t event : {ready_, taken_})
    if (event != nullptr) cudaEventDestroy(event);
}

void LoopbackCommunicator::SetDeadline(std::chrono::steady_clock::time_point deadline) { watch_->deadline = deadline; }
void LoopbackCommunicator::Abort() { watch_->Abort(Aborted("the group was aborted")); }

absl::Status LoopbackCommunicator::Fail(const absl::Status& why) {
  watch_->Abort(why);
  return why;
}

absl::Status LoopbackCommunicator::Meet() {
  const absl::Status met = meeting_->Barrier(watch_->deadline);
  return met.ok() ? met : Fail(met);
}

absl::Status LoopbackCommunicator::Offer(ThreadMeeting::Published mine) {
  device_.Use();
  watch_->queued = true;
  device_.Keep(cudaEventRecord(ready_, device_.stream()), "recording an event");
  mine.ready = ready_;
  mine.taken = taken_;
  meeting_->published[static_cast<size_t>(rank_)] = mine;
  return Meet();
}

absl::Status LoopbackCommunicator::Close() {
  device_.Keep(cudaEventRecord(taken_, device_.stream()), "recording an event");
  DROVER_RETURN_IF_ERROR(Meet());
  for (int64_t r = 0; r < size(); ++r)
    if (r != rank_) Await(meeting_->published[static_cast<size_t>(r)].taken);
  return absl::OkStatus();
}

void LoopbackCommunicator::Await(void* event) {
  device_.Keep(cudaStreamWaitEvent(device_.stream(), static_cast<cudaEvent_t>(event), 0), "waiting for another rank");
}

void LoopbackCommunicator::Copy(const void* from, size_t bytes, void* to) {
  if (bytes == 0 || from == to) return;
  device_.Keep(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, device_.stream()), "copying from another rank");
}

// Each rank sums its slice into everybody's buffer: nobody else touches that slice.
absl::Status LoopbackCommunicator::AllReduceSum(std::span<float> x) {
  if (x.empty()) return meeting_->status();
  DROVER_RETURN_IF_ERROR(Offer({.count = x.size(), .shared = x.data()}));
  const Range own = SummedBy(rank_, size(), static_cast<int64_t>(x.size()));
  if (own.size() > 0) {
    std::vector<float*> buffers;
    for (const ThreadMeeting::Published& peer : meeting_->published) {
      DROVER_CHECK_EQ(peer.count, x.size());
      if (peer.ready != ready_) Await(peer.ready);
      buffers.push_back(static_cast<float*>(peer.shared));
    }
    SumIntoAll(device_, buffers, own.begin, own.end);
  }
  return Close();
}

absl::Status LoopbackCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_RETURN_IF_ERROR(CheckGather(mine.size(), counts, rank_, size(), all.size()));
  DROVER_RETURN_IF_ERROR(Offer({.data = mine.data(), .count = mine.size()}));
  float* to = all.data();
  for (size_t r = 0; r < counts.size(); to += counts[r++]) {
    const ThreadMeeting::Published& peer = meeting_->published[r];
    DROVER_CHECK_EQ(static_cast<int64_t>(peer.count), counts[r]);
    if (peer.ready != ready_ && counts[r] > 0) Await(peer.ready);
    Copy(peer.data, peer.count * sizeof(float), to);
  }
  return Close();
}

absl::Status LoopbackCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                            std::span<const int64_t> receive_counts) {
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll send", send_counts, size(), send.size()));
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll receive", receive_counts, size(), receive.size()));
  DROVER_RETURN_IF_ERROR(Offer({.data = send.data(), .count = send.size(), .counts = send_counts}));
  float* to = receive.data();
  for (size_t r = 0; r < receive_counts.size(); to += receive_counts[r++]) {
    const ThreadMeeting::Published& peer = meeting_->published[r];
    const float* from = static_cast<const float*>(peer.data);
    for (int64_t i = 0; i < rank_; ++i) from += peer.counts[static_cast<size_t>(i)];
    DROVER_CHECK_EQ(peer.counts[static_cast<size_t>(rank_)], receive_counts[r]);
    if (peer.ready != ready_ && receive_counts[r] > 0) Await(peer.ready);
    Copy(from, static_cast<size_t>(receive_counts[r]) * sizeof(float), to);
  }
  return Close();
}

absl::Status LoopbackCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_RETURN_IF_ERROR(CheckRoot(root, size()));
  DROVER_RETURN_IF_ERROR(Offer({.data = bytes.data(), .count = bytes.size()}));
  const ThreadMeeting::Published& source = meeting_->published[static_cast<size_t>(root)];
  DROVER_CHECK_EQ(source.count, bytes.size());
  if (rank_ != root) {
    Await(source.ready);
    Copy(source.data, bytes.size(), bytes.data());
  }
  return Close();
}

absl::StatusOr<cudaEvent_t> LoopbackCommunicator::RecordNew() {
  device_.Use();
  cudaEvent_t event = nullptr;
  cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (error == cudaSuccess) error = cudaEventRecord(event, device_.stream());
  if (error != cudaSuccess) return Fail(device_.Error(error, "recording an event"));
  return event;
}

absl::Status LoopbackCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Send", to, rank_, size()));
  watch_->queued = true;
  DROVER_ASSIGN_OR_RETURN(const cudaEvent_t sent, RecordNew());
  const Letter letter{bytes.data(), bytes.size(), sent};
  DROVER_RETURN_IF_ERROR(meeting_->Post(rank_, to, std::as_bytes(std::span(&letter, 1))));
  Letter answer;
  DROVER_RETURN_IF_ERROR(meeting_->Collect(to, rank_, std::as_writable_bytes(std::span(&answer, 1)), watch_->deadline));
  if (answer.data != nullptr)
    return Fail(FailedPrecondition("Send: ranks ", rank_, " and ", to, " both send, expected one to receive"));
  Await(answer.event);
  cudaEventDestroy(static_cast<cudaEvent_t>(answer.event));
  return absl::OkStatus();
}

absl::Status LoopbackCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Receive", from, rank_, size()));
  watch_->queued = true;
  Letter letter;
  DROVER_RETURN_IF_ERROR(meeting_->Collect(from, rank_, std::as_writable_bytes(std::span(&letter, 1)), watch_->deadline));
  if (letter.size != bytes.size())
    return Fail(InvalidArgument("Receive: rank ", from, " sent ", letter.size, " bytes, expected ", bytes.size()));
  Await(letter.event);
  cudaEventDestroy(static_cast<cudaEvent_t>(letter.event));
  Copy(letter.data, letter.size, bytes.data());
  DROVER_ASSIGN_OR_RETURN(const cudaEvent_t taken, RecordNew());
  const Letter answer{nullptr, 0, taken};
  return meeting_->Post(rank_, from, std::as_bytes(std::span(&answer, 1)));
}

absl::StatusOr<std::unique_ptr<Communicator>> LoopbackCommunicator::Split(int64_t parts) {
  DROVER_RETURN_IF_ERROR(CheckSplit(parts, size()));
  const int64_t run = size() / parts;
  return Create(meeting_->Run(parts, rank_ / run), rank_ % run, watch_);
}

}  // namespace drover
