// The gap between two steps of decoding, by a host's core alone: the engine, and what a rank makes of a plan before its device can begin.
// The device is left out: each step is done at once. Middles, in microseconds. gap_bench [SEQUENCES...]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "worker/convert.h"
#include "worker/engine.h"
#include "worker/model/step_inputs.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kVocab = 128'000, kBlockTokens = 16, kBlocks = 100'000, kStepTokens = 2048, kSequencesMax = 256;
constexpr int64_t kPrompt = 500, kOutput = 600;
constexpr size_t kOtherMemory = 16 << 20;  // what the device's driver and others of the host may touch in a step

ModelSpec OneLayer() {
  LayerKind kind;
  kind.attention = {.heads = 32, .kv_heads = 8, .head_dim = 128, .rope = Rope{.dims = 128, .scaling = {}}, .scale = 0.1};
  kind.ffn.hidden = 96;
  ModelSpec spec{.family = "llama", .hidden = 64, .vocab = kVocab, .max_positions = kBlocks, .kinds = {kind}};
  spec.layer_kind = {0};
  return spec;
}

double Middle(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

// Does of Decoder::Run what comes before the layers.
class HostOfADevice final : public StepRunner {
 public:
  enum Part { kEngine, kBatch, kPlaces, kInputs, kFollowers, kParts };  // the last: a message to followers, beside the gap of one rank

  HostOfADevice(std::unique_ptr<CudaOps> ops, Arena arena, bool cold)
      : ops_(std::move(ops)), arena_(std::move(arena)), other_memory_(cold ? kOtherMemory : 0) {
    angles_.emplace_back(table_);
  }

  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override { return RunWhile(plan, [] {}); }
  absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) override {
    std::vector<Clock::time_point> times = {idle_since_, Clock::now()};
    DROVER_ASSIGN_OR_RETURN(const Batch batch, MakeBatch(plan, limits_));
    times.push_back(Clock::now());
    Arena::Scope scope(arena_);
    ops_->Begin(batch.sequences);
    times.push_back(Clock::now());
    PlaceInputs(batch, {spec_, angles_, kSequencesMax}, ops_->memory(), arena_, staging_);
    times.push_back(Clock::now());
    WriteStep(plan, message_);
    message_.SerializeToString(&bytes_);
    times.push_back(Clock::now());
    for (size_t part = 0; part < kParts && IsDecoding(batch); ++part)
      parts_[part].push_back(std::chrono::duration<double, std::micro>(times[part + 1] - times[part]).count());
    meanwhile();
    for (const SequenceRows& sequence : batch.sequences) angles_[0].Of(sequence.position + sequence.rows);
    DROVER_RETURN_IF_ERROR(ops_->Finish());
    for (size_t i = 0; i < other_memory_.size(); i += 64) ++other_memory_[i];
    StepLogits logits{.rows = plan.logit_rows(), .vocab = kVocab, .values = {}};
    logits.drawn.assign(static_cast<size_t>(logits.rows), 7);
    idle_since_ = Clock::now();
    return logits;
  }
  double MiddleOf(Part part) const { return Middle(parts_[part]); }

 private:
  const std::unique_ptr<CudaOps> ops_;
  Arena arena_;
  std::vector<char> other_memory_;
  const ModelSpec spec_ = OneLayer();
  const RopeTable table_ = MakeRopeTable(*spec_.kinds[0].attention.rope, 0);
  std::vector<Angles> angles_;
  const BatchLimits limits_{kVocab, kStepTokens, kSequencesMax, kBlocks, kBlockTokens, 1, 0};
  std::vector<float> staging_;
  v1::StepMessage message_;
  std::string bytes_;
  std::vector<double> parts_[kParts];
  Clock::time_point idle_since_;
};

absl::Status Measure(int64_t sequences, bool cold) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<CudaOps> ops, CudaOps::Create({}));
  DROVER_ASSIGN_OR_RETURN(Arena arena, Arena::Create(InputFloats(OneLayer(), kStepTokens, kStepTokens, kSequencesMax), ops->memory()));
  HostOfADevice host(std::move(ops), std::move(arena), cold);
  const SchedulerLimits limits{.block_tokens = kBlockTokens, .kv_blocks = kBlocks, .max_step_tokens = kStepTokens,
                               .max_sequences = kSequencesMax, .max_model_len = kBlocks};
  Engine engine({.limits = limits, .vocab = kVocab, .draws = true}, host,
                [](const std::vector<TokenEvent>& events) { WriteTokens(Epoch{1}, events, kVocab); });
  for (int64_t i = 0; i < sequences; ++i) {
    const auto seed = static_cast<uint64_t>(i);
    Request request{.id = RequestId{seed + 1}, .sampling = {.temperature = 0.8, .seed = seed, .logit_bias = {}}, .max_tokens = kOutput, .end_ids = {}};
    request.prompt.assign(static_cast<size_t>(kPrompt + i), 5);
    DROVER_RETURN_IF_ERROR(engine.Submit(std::move(request)));
  }
  engine.Drain();
  DROVER_RETURN_IF_ERROR(engine.RunLoop());
  using Host = HostOfADevice;
  double gap = 0;
  std::printf("%3lld sequences%s:", static_cast<long long>(sequences), cold ? ", cold" : "");
  const std::pair<const char*, Host::Part> parts[] = {
      {"engine", Host::kEngine}, {"batch", Host::kBatch}, {"places", Host::kPlaces}, {"inputs", Host::kInputs}};
  for (const auto& [name, part] : parts) {
    gap += host.MiddleOf(part);
    std::printf(" %s %.1f,", name, host.MiddleOf(part));
  }
  std::printf(" in all %.1f; a message to followers %.1f\n", gap, host.MiddleOf(Host::kFollowers));
  return absl::OkStatus();
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  std::vector<int64_t> counts;
  for (int i = 1; i < argc; ++i) counts.push_back(std::atoll(argv[i]));
  if (counts.empty()) counts = {1, 64, 128, 256};
  for (const bool cold : {false, true})
    for (const int64_t count : counts)
      if (const absl::Status status = drover::Measure(count, cold); !status.ok()) {
        std::fprintf(stderr, "gap_bench: %s\n", drover::Message(status).c_str());
        return 1;
      }
}
