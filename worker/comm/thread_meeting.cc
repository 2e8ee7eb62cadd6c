// See thread_meeting.h.
#include "worker/comm/thread_meeting.h"

#include <algorithm>

namespace drover {
namespace {
constexpr auto kWaitMax = std::chrono::hours(1);  // when no deadline was set
}  // namespace

absl::Status ThreadMeeting::Fail(const absl::Status& why) {
  if (status_.ok()) status_ = why;
  changed_.NotifyAll();
  return status_;
}

template <class Done>
absl::Status ThreadMeeting::Wait(Deadline deadline, const Done& done) {
  const Deadline end = std::min(deadline, std::chrono::steady_clock::now() + kWaitMax);
  while (!done() && status_.ok()) {
    if (changed_.WaitUntil(mutex_, end) || done()) continue;
    return Fail(DeadlineExceeded("a rank of the group did not come to the collective before the step's deadline"));
  }
  return done() ? absl::OkStatus() : status_;
}

absl::Status ThreadMeeting::Barrier(Deadline deadline) {
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

absl::Status ThreadMeeting::Post(int64_t from, int64_t to, std::span<const std::byte> bytes) {
  MutexLock lock(mutex_);
  DROVER_RETURN_IF_ERROR(status_);
  Mail(from, to).emplace_back(bytes.begin(), bytes.end());
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status ThreadMeeting::Collect(int64_t from, int64_t to, std::span<std::byte> bytes, Deadline deadline) {
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

void ThreadMeeting::Abort(const absl::Status& why) {
  MutexLock lock(mutex_);
  Fail(why).IgnoreError();
  for (auto& [key, run] : runs_) run->Abort(why);
}

absl::Status ThreadMeeting::status() {
  MutexLock lock(mutex_);
  return status_;
}

std::shared_ptr<ThreadMeeting> ThreadMeeting::Run(int64_t parts, int64_t index) {
  MutexLock lock(mutex_);
  std::shared_ptr<ThreadMeeting>& run = runs_[{parts, index}];
  if (run == nullptr) run = std::make_shared<ThreadMeeting>(size_ / parts);
  return run;
}

}  // namespace drover
