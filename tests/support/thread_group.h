// ThreadGroup: a whole group in one process, one thread per rank, each with its own weights, KV cache and communicator.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/checkpoint/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/step_runner.h"

namespace drover {

class ThreadGroup : public StepRunner {
 public:
  using MakeWeights = std::function<absl::StatusOr<RankWeights>(const RankCut&, Ops&)>;
  using MakeRankOps = std::function<absl::StatusOr<std::unique_ptr<Ops>>(const OpsBounds&)>;

  // Communicators over the memory of each rank's Ops, by rank; none: threads of the host, with copies where ranks compute elsewhere.
  using MakeRanks = std::function<absl::StatusOr<std::vector<std::unique_ptr<Communicator>>>(std::span<const std::unique_ptr<Ops>>)>;
  struct Computes {
    MakeRankOps make_ops;
    MakeRanks make_ranks = {};
  };

  // The best of this machine's processors.
  static Computes OnCpu(int64_t threads = 1);

  static absl::StatusOr<std::unique_ptr<ThreadGroup>> Create(const ModelSpec& spec, const Grid& grid, const DecoderSettings& settings,
                                                             const MakeWeights& make_weights, const Computes& computes = OnCpu());
  // Loads each rank's own byte ranges.
  static absl::StatusOr<std::unique_ptr<ThreadGroup>> Load(const Checkpoint& checkpoint, const Grid& grid,
                                                           const DecoderSettings& settings, const Computes& computes = OnCpu());

  // Runs the plan on every rank at once; rank 0's logits, or the first error by rank. A failing rank aborts the others.
  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override { return RunWhile(plan, [] {}); }
  absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) override;

  Communicator& ranks(int64_t rank) { return *ranks_[static_cast<size_t>(rank)]; }

 private:
  ThreadGroup() = default;
  // By rank, what each one computes with.
  using AllOps = std::vector<std::unique_ptr<Ops>>;
  absl::StatusOr<std::vector<RankPeers>> Meet(const Grid& grid, const AllOps& all, const MakeRanks& make_ranks);

  std::vector<std::unique_ptr<Communicator>> ranks_;  // of the host
  std::vector<Communicator*> device_ranks_;           // that the decoders use
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

}  // namespace drover
