// RankModel: this rank's share of a model, with what computes it. The edge between the step path and the forward pass.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/key_lengths.h"
#include "common/plan.h"
#include "worker/grammar.h"
#include "worker/step_runner.h"

namespace drover {

class RankModel {
 public:
  virtual ~RankModel() = default;
  virtual int64_t vocab() const = 0;
  virtual int64_t weight_bytes() const = 0;
  virtual KeyLengths key_lengths() const { return {}; }
  // A new epoch finds the weights in place: the ranks meet again, by what its assignment says. No step of the old epoch follows.
  virtual absl::Status Rejoin(const std::string& /*meeting*/) { return absl::OkStatus(); }
  // Whether Run draws tokens by the rules in a plan.
  virtual bool draws() const { return false; }
  // Of what its outputs may be made to keep to; null: of nothing.
  virtual GrammarMaker grammars() const { return nullptr; }
  // One step; every rank runs the same plan. Logits are complete on rank 0, empty elsewhere. Fails by the deadline.
  virtual absl::StatusOr<StepLogits> Run(const StepPlan& plan, std::chrono::steady_clock::time_point deadline, const Meanwhile& meanwhile) = 0;
};

using LoadProgressSink = std::function<void(int64_t bytes_done, int64_t bytes_total)>;

// Loads what the plan gives this rank, whose peers meet by `meeting`. Like Run, called on the thread that owns the communicator.
using ModelLoader = std::function<absl::StatusOr<std::unique_ptr<RankModel>>(const GroupPlan&, const std::string& meeting,
                                                                             const LoadProgressSink&)>;

}  // namespace drover
