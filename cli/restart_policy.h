// When a child that failed may start again: after 1, 2, 4, ... s, and not at all after too many failures in a while. Pure.
#pragma once

#include <deque>
#include <optional>

#include "common/clock.h"

namespace drover {

struct RestartLimits {
  Duration first_delay = std::chrono::seconds(1);
  Duration delay_max = std::chrono::seconds(30);
  Duration window = std::chrono::minutes(10);
  size_t failures_max = 5;  // within the window; the last of them is final
};

class RestartPolicy {
 public:
  explicit RestartPolicy(const RestartLimits& limits = {}) : limits_(limits) {}

  // A failure at `now`: how long to wait before the next start; nothing when it is enough.
  std::optional<Duration> Failed(TimePoint now);

 private:
  RestartLimits limits_;
  std::deque<TimePoint> failures_;  // within the window
};

}  // namespace drover
