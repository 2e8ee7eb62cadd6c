// A follower's end of the step path: a blocking read, so an idle rank uses no CPU.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "common/ids.h"
#include "worker/convert.h"

namespace drover {

struct FollowRequest {
  std::string address;  // of the leader's Steps service
  std::string nonce;
  Epoch epoch{};
  int64_t rank = 0;
};

// What comes next: a step to run, or the end of the epoch.
struct NextStep {
  StepPlan plan;
  bool leave = false, rejoin = false;  // rejoin: the coordinator is gone; keep the weights and join it again
};

class StepsFollower {
 public:
  // Dials until the leader accepts, or the deadline.
  static absl::StatusOr<std::unique_ptr<StepsFollower>> Dial(const FollowRequest& request,
                                                             std::chrono::steady_clock::time_point deadline);
  virtual ~StepsFollower() = default;
  // Waits for the leader. kUnavailable: its stream broke; kInvalidArgument: a step outside the bounds.
  virtual absl::StatusOr<NextStep> Next(const StepBounds& bounds) = 0;
  // Any thread: Next fails soon.
  virtual void Cancel() = 0;
};

}  // namespace drover
