// See watchdog.h.
#include "worker/watchdog.h"

#include <algorithm>
#include <utility>

namespace drover {
namespace {
constexpr std::chrono::hours kLook{1};  // a bound on the wait while nothing is armed
}  // namespace

Watchdog::Watchdog(std::function<void(const std::string&)> expired)
    : expired_(std::move(expired)), thread_([this] { Watch(); }) {}

Watchdog::~Watchdog() {
  {
    MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

// Armed once per step: the thread is woken only when it would look too late.
void Watchdog::Arm(std::string what, std::chrono::steady_clock::duration limit) {
  MutexLock lock(mutex_);
  what_ = std::move(what);
  deadline_ = std::chrono::steady_clock::now() + limit;
  if (deadline_ < wakes_at_) changed_.NotifyAll();
}

void Watchdog::Disarm() {
  MutexLock lock(mutex_);
  deadline_ = kNever;
}

void Watchdog::Watch() {
  while (true) {
    std::string late;
    {
      MutexLock lock(mutex_);
      if (stop_) return;
      const TimePoint now = std::chrono::steady_clock::now();
      if (now < deadline_) {
        wakes_at_ = std::min(deadline_, now + kLook);
        changed_.WaitUntil(mutex_, wakes_at_);
        continue;
      }
      late = std::exchange(what_, {});
      deadline_ = kNever;
    }
    expired_(late);
  }
}

}  // namespace drover
