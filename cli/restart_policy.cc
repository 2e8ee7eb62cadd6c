// See restart_policy.h.
#include "cli/restart_policy.h"

#include <algorithm>

namespace drover {

std::optional<Duration> RestartPolicy::Failed(TimePoint now) {
  while (!failures_.empty() && now - failures_.front() > limits_.window) failures_.pop_front();
  failures_.push_back(now);
  if (failures_.size() >= limits_.failures_max) return std::nullopt;
  Duration delay = limits_.first_delay;
  for (size_t i = 1; i < failures_.size(); ++i) delay = std::min(delay * 2, limits_.delay_max);
  return delay;
}

}  // namespace drover
