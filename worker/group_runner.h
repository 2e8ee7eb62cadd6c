// GroupRunner: a step on every rank of the group: the plan goes to the followers, and runs here.
#pragma once

#include <functional>

#include "worker/step_runner.h"
#include "worker/steps_service.h"

namespace drover {

class GroupRunner final : public StepRunner {
 public:
  using RunHere = std::function<absl::StatusOr<StepLogits>(const StepPlan&, const Meanwhile&)>;
  // `followers` is null in a group of one rank.
  GroupRunner(StepsService* followers, RunHere run_here) : followers_(followers), run_here_(std::move(run_here)) {}

  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override { return RunWhile(plan, [] {}); }
  absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) override {
    if (followers_ != nullptr) DROVER_RETURN_IF_ERROR(followers_->Send(plan));
    return run_here_(plan, meanwhile);
  }

 private:
  StepsService* const followers_;
  const RunHere run_here_;
};

// One token in the first block: crosses every rank, and leaves nothing that a sequence would read.
inline StepPlan WarmStep() {
  return {.step = 0, .sequences = {{.id = 0, .position = 0, .tokens = {0}, .blocks = {0}, .logits = LogitsWanted::kLast}}};
}

}  // namespace drover
