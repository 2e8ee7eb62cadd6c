// StepRunner: runs one step on every rank of the group and returns the logits. The engine's only view of model and network.
#pragma once

#include <functional>

#include "worker/step_plan.h"

namespace drover {

// What a host does on the thread of a step while a device is busy with it, or before, where the host computes it: called once, unless
// the step fails earlier, and before a row is drawn from. It may fill the masks of the plan's draws.
using Meanwhile = std::function<void()>;

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // Called by the engine thread only. An error ends the group's epoch.
  virtual absl::StatusOr<StepLogits> Run(const StepPlan& plan) = 0;
  virtual absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) {
    meanwhile();
    return Run(plan);
  }
};

}  // namespace drover
