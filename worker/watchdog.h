// Watchdog: calls back when something armed was not disarmed in time, even while every other thread hangs.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "common/mutex.h"

namespace drover {

class Watchdog {
 public:
  // `expired` is called on the watchdog's thread, at most once per Arm, with what was said there.
  explicit Watchdog(std::function<void(const std::string& what)> expired);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Any thread. Replaces what was armed before.
  void Arm(std::string what, std::chrono::steady_clock::duration limit);
  void Disarm();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr TimePoint kNever = TimePoint::max();

  void Watch();

  const std::function<void(const std::string&)> expired_;
  Mutex mutex_;
  CondVar changed_;
  std::string what_ ABSL_GUARDED_BY(mutex_);
  TimePoint deadline_ ABSL_GUARDED_BY(mutex_) = kNever;
  TimePoint wakes_at_ ABSL_GUARDED_BY(mutex_) = kNever;  // when Watch looks again by itself
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace drover
