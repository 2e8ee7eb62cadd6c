// See served_model.h.
#include "worker/served_model.h"

#include "models/checkpoint/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/weights/load.h"

namespace drover {
namespace {

constexpr std::chrono::seconds kMeet{60};  // ranks are assigned together

class ServedModel final : public RankModel {
 public:
  ServedModel(std::unique_ptr<Decoder> decoder, Communicator& ranks) : decoder_(std::move(decoder)), ranks_(ranks) {}

  int64_t vocab() const override { return decoder_->spec().vocab; }
  int64_t weight_bytes() const override { return decoder_->weight_bytes(); }
  KeyLengths key_lengths() const override { return KeyLengthsOf(decoder_->spec()); }
  absl::StatusOr<StepLogits> Run(const StepPlan& plan, std::chrono::steady_clock::time_point deadline) override {
    ranks_.SetDeadline(deadline);
    return decoder_->Run(plan);
  }

 private:
  const std::unique_ptr<Decoder> decoder_;
  Communicator& ranks_;
};

absl::StatusOr<std::unique_ptr<RankModel>> Load(const GroupPlan& plan, const LoadProgressSink& progress, Communicator& ranks) {
  if (plan.compute != "f32") return Unimplemented("plan.compute: found ", plan.compute, ", expected f32");
  if (plan.kv != "f32") return Unimplemented("plan.kv: found ", plan.kv, ", expected f32");
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(plan.model_path));
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return NotFound(plan.model_path, ": found a config without weights, expected safetensors or GGUF files beside it");
  const RankCut cut = CutOf(plan, ranks.rank());
  // Before the load: then ranks need not wait for the slowest loader.
  ranks.SetDeadline(std::chrono::steady_clock::now() + kMeet);
  DROVER_ASSIGN_OR_RETURN(RankRuns runs, SplitRanks(cut.grid, ranks));
  DROVER_ASSIGN_OR_RETURN(RankWeights weights, LoadRankWeights(checkpoint, cut, {.cancelled = {}, .progress = progress}));
  const DecoderSettings settings{.max_step_tokens = plan.max_step_tokens,
                                 .max_sequences = plan.max_sequences,
                                 .kv_blocks = plan.kv_blocks,
                                 .block_tokens = plan.block_tokens,
                                 .threads = plan.threads};
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                          Decoder::Create(checkpoint.spec, cut, std::move(weights), settings, ranks, std::move(runs)));
  return std::make_unique<ServedModel>(std::move(decoder), ranks);
}

}  // namespace

ModelLoader MakeModelLoader(Communicator& communicator) {
  return [&communicator](const GroupPlan& plan, const std::string&, const LoadProgressSink& progress) {
    return Load(plan, progress, communicator);
  };
}

}  // namespace drover
