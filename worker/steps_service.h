// The leader's end of the step path: every other rank of the group holds one stream to it, and gets each step's plan on it,
// serialised once. A follower's broken stream is the follower's death.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/ids.h"
#include "worker/step_plan.h"

namespace drover {

// What followers are told at the end of an epoch: to exit cleanly, to keep their weights and join again (the coordinator is gone),
// or nothing, so that the end of their stream is the leader's failure to them.
enum class Farewell { kLeave, kRejoin, kNone };

class StepsService {
 public:
  // Listens on `listen` (host:port, port 0 for any free one); kUnavailable when it cannot.
  static absl::StatusOr<std::unique_ptr<StepsService>> Listen(const std::string& listen);
  virtual ~StepsService() = default;

  virtual int port() const = 0;
  // Followers of this epoch and nonce are accepted from now on. `on_lost` is called on a library thread when one of them leaves
  // before EndEpoch.
  virtual void BeginEpoch(Epoch epoch, std::string nonce, int64_t ranks, std::function<void(int64_t rank)> on_lost) = 0;
  // Until every other rank follows; kDeadlineExceeded names the missing ones.
  virtual absl::Status WaitForFollowers(std::chrono::steady_clock::time_point deadline) = 0;
  // Queues the step for every follower and returns. kUnavailable: one is gone or does not read.
  virtual absl::Status Send(const StepPlan& plan) = 0;
  // Sends every follower away and forgets the epoch.
  virtual void EndEpoch(Farewell farewell) = 0;
};

}  // namespace drover
