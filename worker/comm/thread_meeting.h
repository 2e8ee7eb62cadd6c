// ThreadMeeting: where ranks that are threads of one process meet: a barrier, one published buffer per rank, and mailboxes.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "common/mutex.h"
#include "common/status.h"

namespace drover {

class ThreadMeeting {
 public:
  struct Published {
    const void* data = nullptr;
    size_t count = 0;
    std::span<const int64_t> counts;
    // Of ranks that share a device: data that all may change, and the events after which a rank's data is there and others' was taken.
    void* shared = nullptr;
    void *ready = nullptr, *taken = nullptr;
  };
  using Deadline = std::chrono::steady_clock::time_point;

  explicit ThreadMeeting(int64_t size)
      : published(static_cast<size_t>(size)), sums(static_cast<size_t>(size)), mail_(static_cast<size_t>(size * size)), size_(size) {}

  int64_t size() const { return size_; }

  // Returns when all ranks have come; everything written before is then visible to all.
  absl::Status Barrier(Deadline deadline);
  absl::Status Post(int64_t from, int64_t to, std::span<const std::byte> bytes);
  // Waits for a message of exactly this size.
  absl::Status Collect(int64_t from, int64_t to, std::span<std::byte> bytes, Deadline deadline);

  // The end of this meeting and of its runs; the first reason stays.
  void Abort(const absl::Status& why);
  absl::Status status();

  // Run `index` of `parts`, made by whoever comes first.
  std::shared_ptr<ThreadMeeting> Run(int64_t parts, int64_t index);

  // Written by rank r before a barrier, read by others after it.
  std::vector<Published> published;
  std::vector<std::vector<float>> sums;

 private:
  std::deque<std::vector<std::byte>>& Mail(int64_t from, int64_t to) { return mail_[static_cast<size_t>(from * size_ + to)]; }
  // The first failure stays. The caller holds the lock, as for Wait.
  absl::Status Fail(const absl::Status& why);
  template <class Done>
  absl::Status Wait(Deadline deadline, const Done& done);

  Mutex mutex_;
  CondVar changed_;
  std::vector<std::deque<std::vector<std::byte>>> mail_;                        // [from, to]
  std::map<std::pair<int64_t, int64_t>, std::shared_ptr<ThreadMeeting>> runs_;  // by parts and index
  const int64_t size_;
  int64_t arrived_ = 0;
  uint64_t round_ = 0;
  absl::Status status_;
};

}  // namespace drover
