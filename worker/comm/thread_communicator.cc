// See thread_communicator.h.
#include "worker/comm/thread_communicator.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "common/check.h"
#include "common/mutex.h"
#include "models/shard.h"
#include "worker/comm/arguments.h"

namespace drover {

namespace {
constexpr auto kWaitMax = std::chrono::hours(1);  // when no deadline was set
}  // namespace

// Where the ranks meet: a barrier, one published buffer per rank, and mailboxes.
class ThreadMeeting {
 public:
  struct Published {
    const void* data = nullptr;
    size_t count = 0;
    std::span<const int64_t> counts;
  };
  using Deadline = std::chrono::steady_clock::time_point;

  explicit ThreadMeeting(int64_t size)
      : published(static_cast<size_t>(size)), sums(static_cast<size_t>(size)), mail_(static_cast<size_t>(size * size)), size_(size) {}

  int64_t size() const { return size_; }

  // Returns when all ranks have come; everything written before is then visible to all.
  absl::Status Barrier(Deadline deadline) {
    MutexLock lock(mutex_);
    DROVER_RETURN_IF_ERROR(status_);
    const uint64_t round = round_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++round_;
      changed_.NotifyAll();
      return absl::OkStatus();
    }
    return Wait(deadline, [&] { return round_ != round; });
  }

  absl::Status Post(int64_t from, int64_t to, std::span<const std::byte> bytes) {
    MutexLock lock(mutex_);
    DROVER_RETURN_IF_ERROR(status_);
    Mail(from, to).emplace_back(bytes.begin(), bytes.end());
    changed_.NotifyAll();
    return absl::OkStatus();
  }

  absl::Status Collect(int64_t from, int64_t to, std::span<std::byte> bytes, Deadline deadline) {
    MutexLock lock(mutex_);
    DROVER_RETURN_IF_ERROR(status_);
    DROVER_RETURN_IF_ERROR(Wait(deadline, [&] { return !Mail(from, to).empty(); }));
    const std::vector<std::byte> message = std::move(Mail(from, to).front());
    Mail(from, to).pop_front();
    if (message.size() != bytes.size())
      return Fail(InvalidArgument("Receive: rank ", from, " sent ", message.size(), " bytes, expected ", bytes.size()));
    std::ranges::copy(message, bytes.begin());
    return absl::OkStatus();
  }

  void Abort(const absl::Status& why) {
    MutexLock lock(mutex_);
    Fail(why).IgnoreError();
    for (auto& [key, run] : runs_) run->Abort(why);
  }

  // Run `index` of `parts`, made by whoever comes first.
  std::shared_ptr<ThreadMeeting> Run(int64_t parts, int64_t index) {
    MutexLock lock(mutex_);
    std::shared_ptr<ThreadMeeting>& run = runs_[{parts, index}];
    if (run == nullptr) run = std::make_shared<ThreadMeeting>(size_ / parts);
    return run;
  }

  // Written by rank r before a barrier, read by others after it.
  std::vector<Published> published;
  std::vector<std::vector<float>> sums;

 private:
  std::deque<std::vector<std::byte>>& Mail(int64_t from, int64_t to) { return mail_[static_cast<size_t>(from * size_ + to)]; }

  // The first failure stays; the caller holds the lock.
  absl::Status Fail(const absl::Status& why) {
    if (status_.ok()) status_ = why;
    changed_.NotifyAll();
    return status_;
  }

  template <class Done>
  absl::Status Wait(Deadline deadline, const Done& done) {
    const Deadline end = std::min(deadline, std::chrono::steady_clock::now() + kWaitMax);
    while (!done() && status_.ok()) {
      if (changed_.WaitUntil(mutex_, end) || done()) continue;
      return Fail(DeadlineExceeded("a rank of the group did not come to the collective before the step's deadline"));
    }
    return done() ? absl::OkStatus() : status_;
  }

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::deque<std::vector<std::byte>>> mail_;  // [from, to]
  std::map<std::pair<int64_t, int64_t>, std::shared_ptr<ThreadMeeting>> runs_;  // by parts and index
  const int64_t size_;
  int64_t arrived_ = 0;
  uint64_t round_ = 0;
  absl::Status status_;
};

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
  meeting.published[static_cast<size_t>(rank_)] = {x.data(), x.size(), {}};
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
  meeting_->published[static_cast<size_t>(rank_)] = {mine.data(), mine.size(), {}};
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
  meeting_->published[static_cast<size_t>(rank_)] = {send.data(), send.size(), send_counts};
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
  meeting_->published[static_cast<size_t>(rank_)] = {bytes.data(), bytes.size(), {}};
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
