// Time as an argument: what decides takes a TimePoint; what waits owns a Clock. Monotonic; wall-clock changes do not touch it.
#pragma once

#include <chrono>

namespace drover {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

inline int64_t Milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
inline double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace drover
