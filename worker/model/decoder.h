// Decoder: one rank's model. Runs the forward pass of a step plan; every rank of the group runs the same plans in the same order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/make_ops.h"
#include "worker/comm/communicator.h"
#include "worker/kv/kv_store.h"
#include "worker/model/layer.h"
#include "worker/model/rank_weights.h"
#include "worker/step_plan.h"

namespace drover {

struct DecoderSettings {
  int64_t max_step_tokens = 512;  // of one plan, over all sequences
  int64_t max_sequences = 64;     // of one plan
  int64_t kv_blocks = 256;        // of each attention part
  int64_t block_tokens = 16;
  int64_t threads = 1;
  std::string isa = "best";       // see OpsOptions
};

// The runs that a rank belongs to, with a communicator where a run is not the whole above it: a stage of several, an attention part
// of several.
struct RankRuns {
  std::unique_ptr<Communicator> stage, part;
};
// Every rank calls it, with the communicator of all.
absl::StatusOr<RankRuns> SplitRanks(const Grid& grid, Communicator& ranks);

class Decoder {
 public:
  // `ranks` outlives the decoder; its rank and size are the cut's. `runs` are split off from it. Takes all memory that steps will need.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(const ModelSpec& spec, const RankCut& cut, RankWeights weights,
                                                         const DecoderSettings& settings, Communicator& ranks, RankRuns runs = {});

  // One thread at a time. The caller sets the communicator's deadline. kInvalidArgument: the plan is wrong, found on every rank alike
  // before any collective, and the decoder can go on. Other errors end the group: the KV cache is no longer sound.
  absl::StatusOr<StepLogits> Run(const StepPlan& plan);

  const ModelSpec& spec() const { return spec_; }
  int64_t weight_bytes() const { return weights_.bytes; }
  int64_t kv_bytes() const { return kv_.bytes(); }
  int64_t activation_bytes() const { return arena_.floats() * static_cast<int64_t>(sizeof(float)); }

 private:
  Decoder(const ModelSpec& spec, const RankCut& cut, RankWeights weights, const DecoderSettings& settings, Communicator& ranks,
          RankRuns runs, std::unique_ptr<Ops> ops, KvStore kv);
  absl::StatusOr<StepLogits> Forward(Step& step);
  Tensor Embed(Step& step);
  // What enters this stage: embeddings, or the rows of the stage before.
  Tensor Enter(Step& step);
  // The rows go on to the next stage, or logits are made of them; the leader, which is in the first stage, gets those.
  StepLogits Leave(Step& step, Tensor x);
  StepLogits Logits(Step& step, Tensor x);
  // Logits of one piece of rows, complete on every rank.
  void GatherLogits(Step& step, Tensor own, float* to);
  absl::Status CheckFinite(const Batch& batch, const StepLogits& logits) const;

  const ModelSpec spec_;
  const RankCut cut_;
  const RankWeights weights_;
  const BatchLimits limits_;
  Communicator& ranks_;
  const RankRuns runs_;
  Communicator& stage_;
  Communicator& part_;
  std::unique_ptr<Ops> ops_;
  KvStore kv_;
  Arena arena_;
  std::vector<KindCut> kinds_;
};

}  // namespace drover
