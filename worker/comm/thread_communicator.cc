// See thread_communicator.h.
#include "worker/comm/thread_communicator.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "models/shard.h"
#include "worker/comm/arguments.h"
#include "worker/comm/thread_meeting.h"

namespace drover {

std::vector<std::unique_ptr<Communicator>> ThreadCommunicator::MakeGroup(int64_t ranks) {
  auto meeting = std::make_shared<ThreadMeeting>(ranks);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int64_t rank = 0; rank < ranks; ++rank) group.push_back(std::make_unique<ThreadCommunicator>(meeting, rank, std::make_shared<Deadline>(Deadline::max())));
  return group;
}

ThreadCommunicator::ThreadCommunicator(std::shared_ptr<ThreadMeeting> meeting, int64_t rank, std::shared_ptr<Deadline> deadline)
    : meeting_(std::move(meeting)), rank_(rank), deadline_(std::move(deadline)) {}

int64_t ThreadCommunicator::size() const { return meeting_->size(); }

// Rank r sums slice r of everybody's x in rank order; then everybody copies all slices.
absl::Status ThreadCommunicator::AllReduceSum(std::span<float> x) {
  ThreadMeeting& meeting = *meeting_;
  const auto length = static_cast<int64_t>(x.size());
  meeting.published[static_cast<size_t>(rank_)] = {.data = x.data(), .count = x.size()};
  DROVER_RETURN_IF_ERROR(meeting.Barrier(*deadline_));
  const Range own = PartOf(length, rank_, size());
  std::vector<float>& sum = meeting.sums[static_cast<size_t>(rank_)];
  sum.resize(static_cast<size_t>(own.size()));
  for (int64_t r = 0; r < size(); ++r) {
    const ThreadMeeting::Published& peer = meeting.published[static_cast<size_t>(r)];
    DROVER_CHECK_EQ(peer.count, x.size());
    const float* from = static_cast<const float*>(peer.data) + own.begin;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = r == 0 ? from[i] : sum[i] + from[i];
  }
  DROVER_RETURN_IF_ERROR(meeting.Barrier(*deadline_));
  for (int64_t r = 0; r < size(); ++r)
    std::ranges::copy(meeting.sums[static_cast<size_t>(r)], x.begin() + PartOf(length, r, size()).begin);
  return absl::OkStatus();
}

absl::Status ThreadCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_RETURN_IF_ERROR(CheckGather(mine.size(), counts, rank_, size(), all.size()));
  meeting_->published[static_cast<size_t>(rank_)] = {.data = mine.data(), .count = mine.size()};
  DROVER_RETURN_IF_ERROR(meeting_->Barrier(*deadline_));
  float* to = all.data();
  for (size_t r = 0; r < counts.size(); to += counts[r++]) {
    const ThreadMeeting::Published& peer = meeting_->published[r];
    DROVER_CHECK_EQ(static_cast<int64_t>(peer.count), counts[r]);
    std::copy_n(static_cast<const float*>(peer.data), counts[r], to);
  }
  return meeting_->Barrier(*deadline_);  // nobody's buffer is needed any more
}

absl::Status ThreadCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                          std::span<const int64_t> receive_counts) {
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll send", send_counts, size(), send.size()));
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll receive", receive_counts, size(), receive.size()));
  meeting_->published[static_cast<size_t>(rank_)] = {.data = send.data(), .count = send.size(), .counts = send_counts};
  DROVER_RETURN_IF_ERROR(meeting_->Barrier(*deadline_));
  float* to = receive.data();
  for (size_t r = 0; r < receive_counts.size(); to += receive_counts[r++]) {
    const ThreadMeeting::Published& peer = meeting_->published[r];
    const float* from = static_cast<const float*>(peer.data);
    for (int64_t i = 0; i < rank_; ++i) from += peer.counts[static_cast<size_t>(i)];
    DROVER_CHECK_EQ(peer.counts[static_cast<size_t>(rank_)], receive_counts[r]);
    std::copy_n(from, receive_counts[r], to);
  }
  return meeting_->Barrier(*deadline_);
}

absl::Status ThreadCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_RETURN_IF_ERROR(CheckRoot(root, size()));
  meeting_->published[static_cast<size_t>(rank_)] = {.data = bytes.data(), .count = bytes.size()};
  DROVER_RETURN_IF_ERROR(meeting_->Barrier(*deadline_));
  const ThreadMeeting::Published& source = meeting_->published[static_cast<size_t>(root)];
  DROVER_CHECK_EQ(source.count, bytes.size());
  if (rank_ != root && !bytes.empty()) std::memcpy(bytes.data(), source.data, bytes.size());
  return meeting_->Barrier(*deadline_);
}

absl::Status ThreadCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Send", to, rank_, size()));
  return meeting_->Post(rank_, to, bytes);
}

absl::Status ThreadCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Receive", from, rank_, size()));
  return meeting_->Collect(from, rank_, bytes, *deadline_);
}

absl::StatusOr<std::unique_ptr<Communicator>> ThreadCommunicator::Split(int64_t parts) {
  DROVER_RETURN_IF_ERROR(CheckSplit(parts, size()));
  const int64_t run = size() / parts;
  return std::make_unique<ThreadCommunicator>(meeting_->Run(parts, rank_ / run), rank_ % run, deadline_);
}

void ThreadCommunicator::Abort() { meeting_->Abort(Aborted("the group was aborted")); }

}  // namespace drover
