// StepRunner: runs one step on every rank of the group and returns the logits. The engine's only view of model and network.
#pragma once

#include "worker/step_plan.h"

namespace drover {

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // Called by the engine thread only. An error ends the group's epoch.
  virtual absl::StatusOr<StepLogits> Run(const StepPlan& plan) = 0;
};

}  // namespace drover
