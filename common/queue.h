// BoundedQueue: the only way threads hand over work. Any thread may call any method.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace drover {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when the queue is full or closed; the item is then dropped by the caller's choice.
  bool TryPush(T item) {
    MutexLock lock(mutex_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    ready_.NotifyOne();
    return true;
  }

  // Waits for a free place until `timeout`; false on timeout or when closed.
  bool Push(T item, std::chrono::steady_clock::duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (items_.size() >= capacity_ && !closed_) {
      if (!space_.WaitUntil(mutex_, deadline)) break;
    }
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    ready_.NotifyOne();
    return true;
  }

  // Waits for an item until `timeout`; nullopt on timeout, or when closed and empty.
  std::optional<T> Pop(std::chrono::steady_clock::duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (items_.empty()) {
      if (closed_ || !ready_.WaitUntil(mutex_, deadline)) break;
    }
    if (items_.empty()) return std::nullopt;
    T item = std::move(items_.front());
    items_.pop_front();
    space_.NotifyOne();
    return item;
  }

  // Takes everything that is queued now, without waiting.
  std::vector<T> TakeAll() {
    MutexLock lock(mutex_);
    std::vector<T> all(std::make_move_iterator(items_.begin()), std::make_move_iterator(items_.end()));
    items_.clear();
    space_.NotifyAll();
    return all;
  }

  // Waits until an item is queued, the queue is closed, or the timeout; true when there is an item.
  bool WaitForItem(std::chrono::steady_clock::duration timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    MutexLock lock(mutex_);
    while (items_.empty() && !closed_) {
      if (!ready_.WaitUntil(mutex_, deadline)) break;
    }
    return !items_.empty();
  }

  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
    ready_.NotifyAll();
    space_.NotifyAll();
  }
  bool closed() {
    MutexLock lock(mutex_);
    return closed_;
  }
  size_t size() {
    MutexLock lock(mutex_);
    return items_.size();
  }

 private:
  Mutex mutex_;
  CondVar ready_, space_;
  const size_t capacity_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace drover
