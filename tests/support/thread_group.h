// ThreadGroup: a whole group in one process, one thread per rank, each with its own weights, KV cache and communicator.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "models/checkpoint/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/step_runner.h"

namespace drover {

class ThreadGroup : public StepRunner {
 public:
  using MakeWeights = std::function<absl::StatusOr<RankWeights>(const RankCut&)>;

  static absl::StatusOr<std::unique_ptr<ThreadGroup>> Create(const ModelSpec& spec, const Grid& grid, const DecoderSettings& settings,
                                                             const MakeWeights& make_weights);
  // Loads each rank's own byte ranges.
  static absl::StatusOr<std::unique_ptr<ThreadGroup>> Load(const Checkpoint& checkpoint, const Grid& grid,
                                                           const DecoderSettings& settings);

  // Runs the plan on every rank at once; rank 0's logits, or the first error by rank. A failing rank aborts the others.
  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override;

  Communicator& ranks(int64_t rank) { return *ranks_[static_cast<size_t>(rank)]; }

 private:
  ThreadGroup() = default;
  std::vector<std::unique_ptr<Communicator>> ranks_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

}  // namespace drover
