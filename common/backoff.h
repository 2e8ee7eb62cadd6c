// Backoff: between two polls of something that no one announces. Gives the core away at first, then sleeps for tens of microseconds.
#pragma once

#include <sched.h>

#include <chrono>
#include <thread>

namespace drover {

class Backoff {
 public:
  void Pause() {
    if (polls_ < kYields) {
      ++polls_;
      sched_yield();
    } else {
      std::this_thread::sleep_for(kSleep);
    }
  }

 private:
  static constexpr int kYields = 2000;
  static constexpr std::chrono::microseconds kSleep{20};
  int polls_ = 0;
};

}  // namespace drover
