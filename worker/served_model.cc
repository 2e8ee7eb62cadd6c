// See served_model.h.
#include "worker/served_model.h"

#include "models/checkpoint/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/model_grammars.h"
#include "worker/weights/load.h"

namespace drover {
namespace {

constexpr int64_t kLoadThreads = 4;  // of a GPU's rank; each holds a layer's shared tensors on the host
constexpr std::chrono::seconds kMeet{60};  // ranks are assigned together

// The peers of a device's rank, or those of the host.
absl::StatusOr<RankPeers> Meet(const Device& device, const Grid& grid, const std::string& meeting, Communicator* host) {
  const auto deadline = std::chrono::steady_clock::now() + kMeet;
  if (host != nullptr) host->SetDeadline(deadline);
  if (device.meet == nullptr) return MeetPeers(grid, *host);
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> ranks, device.meet(meeting, deadline));
  return MeetPeers(grid, std::move(ranks));
}

class ServedModel final : public RankModel {
 public:
  ServedModel(std::unique_ptr<Decoder> decoder, Device device, const Grid& grid, Communicator* host, GrammarMaker grammars)
      : device_(std::move(device)), decoder_(std::move(decoder)), grid_(grid), host_(host), grammars_(std::move(grammars)) {}

  int64_t vocab() const override { return decoder_->spec().vocab; }
  int64_t weight_bytes() const override { return decoder_->weight_bytes(); }
  bool draws() const override { return decoder_->on_device(); }
  GrammarMaker grammars() const override { return grammars_; }
  KeyLengths key_lengths() const override { return KeyLengthsOf(decoder_->spec()); }
  absl::Status Rejoin(const std::string& meeting) override {
    if (device_.meet == nullptr || host_ != nullptr) return absl::OkStatus();  // the host's communicator goes on
    decoder_->LeavePeers();
    DROVER_ASSIGN_OR_RETURN(RankPeers peers, Meet(device_, grid_, meeting, host_));
    return decoder_->Rejoin(std::move(peers));
  }
  absl::StatusOr<StepLogits> Run(const StepPlan& plan, std::chrono::steady_clock::time_point deadline, const Meanwhile& meanwhile) override {
    return decoder_->Run(plan, deadline, meanwhile);
  }

 private:
  const Device device_;  // its Ops are the decoder's, whose communicators end before what they came from
  const std::unique_ptr<Decoder> decoder_;
  const Grid grid_;
  Communicator* const host_;
  const GrammarMaker grammars_;
};

absl::Status CheckPlan(const GroupPlan& plan, const Checkpoint& checkpoint) {
  if (plan.kv != "f32" && plan.kv != "bf16") return Unimplemented("plan.kv: found ", plan.kv, ", expected f32 or bf16");
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return NotFound(plan.model_path, ": found a config without weights, expected safetensors or GGUF files beside it");
  return absl::OkStatus();
}

struct Loader {
  DevicePlace place;
  Communicator* host;
};

absl::StatusOr<std::unique_ptr<RankModel>> Load(const Loader& loader, const GroupPlan& plan, const std::string& meeting,
                                                const LoadProgressSink& progress) {
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(plan.model_path));
  DROVER_RETURN_IF_ERROR(CheckPlan(plan, checkpoint));
  const RankCut cut = CutOf(plan, loader.place.rank);
  const DecoderSettings settings{.max_step_tokens = plan.max_step_tokens,
                                 .max_sequences = plan.max_sequences,
                                 .kv_blocks = plan.kv_blocks,
                                 .block_tokens = plan.block_tokens,
                                 .kv_type = plan.kv == "bf16" ? DType::kBF16 : DType::kF32};
  const OpsOptions ops{.threads = plan.threads, .bounds = BoundsOf(checkpoint.spec, settings)};
  DROVER_ASSIGN_OR_RETURN(Device device, OpenDevice({.place = loader.place, .compute = plan.compute, .ops = ops, .host = loader.host}));
  // Before the load: then ranks need not wait for the slowest loader.
  DROVER_ASSIGN_OR_RETURN(RankPeers peers, Meet(device, cut.grid, meeting, loader.host));
  LoadOptions load{.threads = device.ops->on_host() ? 1 : kLoadThreads, .memory = &device.ops->memory()};
  load.progress = progress;
  DROVER_ASSIGN_OR_RETURN(RankWeights weights, LoadRankWeights(checkpoint, cut, load));
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder, Decoder::Create(checkpoint.spec, cut, settings, std::move(weights),
                                                                            {std::move(device.ops), std::move(peers)}));
  return std::make_unique<ServedModel>(std::move(decoder), std::move(device), cut.grid, loader.host, MakeModelGrammars(plan.model_path));
}

}  // namespace

ModelLoader MakeModelLoader(const DevicePlace& place, Communicator* host) {
  return [loader = Loader{place, host}](const GroupPlan& plan, const std::string& meeting, const LoadProgressSink& progress) {
    return Load(loader, plan, meeting, progress);
  };
}

}  // namespace drover
