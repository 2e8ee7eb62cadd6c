// See decoder.h. The forward pass is Forward; a layer of it is in layer.cc.
#include "worker/model/decoder.h"

#include <algorithm>
#include <cmath>

#include "common/plan.h"
#include "worker/model/step_memory.h"

namespace drover {
namespace {

absl::Status CheckRun(std::string_view name, const Communicator* run, int64_t rank, int64_t size) {
  if (run != nullptr && run->rank() == rank && run->size() == size) return absl::OkStatus();
  return InvalidArgument(name, ": expected a communicator of rank ", rank, " of ", size);
}

absl::Status CheckGrid(const RankCut& cut, const RankRuns& runs) {
  const Grid& grid = cut.grid;
  if (grid.stages < 1 || grid.ranks % grid.stages != 0)
    return InvalidArgument("stages: found ", grid.stages, ", expected a divisor of ", grid.ranks, " ranks");
  const int64_t stage_ranks = grid.stage_ranks();
  if (grid.expert_parts < 1 || stage_ranks % grid.expert_parts != 0)
    return InvalidArgument("expert_parts: found ", grid.expert_parts, ", expected a divisor of ", stage_ranks, " ranks");
  if (grid.attention_parts < 1 || stage_ranks % grid.attention_parts != 0)
    return InvalidArgument("attention_parts: found ", grid.attention_parts, ", expected a divisor of ", stage_ranks, " ranks");
  if (grid.stages > 1) DROVER_RETURN_IF_ERROR(CheckRun("stage", runs.stage.get(), cut.place(), stage_ranks));
  if (grid.attention_parts > 1) DROVER_RETURN_IF_ERROR(CheckRun("attention part", runs.part.get(), cut.seat(), grid.part_ranks()));
  return absl::OkStatus();
}

absl::Status Check(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings, const Communicator& ranks,
                   const RankRuns& runs) {
  DROVER_RETURN_IF_ERROR(Validate(spec));
  if (cut.grid.ranks != ranks.size() || cut.rank != ranks.rank())
    return InvalidArgument("cut: found rank ", cut.rank, " of ", cut.grid.ranks, ", expected ", ranks.rank(), " of ", ranks.size());
  DROVER_RETURN_IF_ERROR(CheckGrid(cut, runs));
  if (settings.max_step_tokens < 1 || settings.max_sequences < 1)
    return InvalidArgument("max_step_tokens ", settings.max_step_tokens, ", max_sequences ", settings.max_sequences, ": expected 1 or more");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RankRuns> SplitRanks(const Grid& grid, Communicator& ranks) {
  RankRuns runs;
  if (grid.stages > 1) {
    DROVER_ASSIGN_OR_RETURN(runs.stage, ranks.Split(grid.stages));
  }
  if (grid.attention_parts > 1) {
    DROVER_ASSIGN_OR_RETURN(runs.part, ranks.Split(grid.stages * grid.attention_parts));
  }
  return runs;
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelSpec& spec, const RankCut& cut, RankWeights weights,
                                                         const DecoderSettings& settings, Communicator& ranks, RankRuns runs) {
  DROVER_RETURN_IF_ERROR(Check(spec, cut, settings, ranks, runs));
  if (static_cast<int64_t>(weights.layers.size()) != spec.layers())
    return InvalidArgument("weights: found ", weights.layers.size(), " layers, expected ", spec.layers());
  DROVER_ASSIGN_OR_RETURN(KvStore kv, KvStore::Create(spec, cut, settings.kv_blocks, settings.block_tokens));
  OpsOptions options{settings.threads, settings.isa, settings.max_step_tokens, WidestColumns(spec),
                     settings.kv_blocks * settings.block_tokens};
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Ops> ops, MakeOps(options));
  return std::unique_ptr<Decoder>(
      new Decoder(spec, cut, std::move(weights), settings, ranks, std::move(runs), std::move(ops), std::move(kv)));
}

Decoder::Decoder(const ModelSpec& spec, const RankCut& cut, RankWeights weights, const DecoderSettings& settings, Communicator& ranks,
                 RankRuns runs, std::unique_ptr<Ops> ops, KvStore kv)
    : spec_(spec),
      cut_(cut),
      weights_(std::move(weights)),
      limits_{spec.vocab,          settings.max_step_tokens, settings.max_sequences,   settings.kv_blocks,
              settings.block_tokens, cut.grid.attention_parts, cut.attention_part()},
      ranks_(ranks),
      runs_(std::move(runs)),
      stage_(runs_.stage != nullptr ? *runs_.stage : ranks),
      part_(runs_.part != nullptr ? *runs_.part : stage_),
      ops_(std::move(ops)),
      kv_(std::move(kv)),
      arena_(StepFloats(spec, cut, settings.max_step_tokens)) {
  for (const LayerKind& kind : spec_.kinds) kinds_.push_back(CutKind(kind, cut_));
}

absl::StatusOr<StepLogits> Decoder::Run(const StepPlan& plan) {
  DROVER_ASSIGN_OR_RETURN(const Batch batch, MakeBatch(plan, limits_));
  if (batch.rows() == 0) return StepLogits{0, spec_.vocab, {}};
  Arena::Scope scope(arena_);
  const bool layer_norm = spec_.norm != NormKind::kRms && spec_.norm != NormKind::kRmsPlusOne;
  Step step(batch, {layer_norm, static_cast<float>(spec_.norm_eps)}, *ops_, {stage_, part_}, arena_);
  absl::StatusOr<StepLogits> logits = Forward(step);
  if (!logits.ok()) return Annotate(logits.status(), Cat("step ", plan.step));
  if (cut_.rank != 0) return StepLogits{0, spec_.vocab, {}};
  return logits;
}

absl::StatusOr<StepLogits> Decoder::Forward(Step& step) {
  const Tensor x = Enter(step);
  std::vector<RopeAngles> angles;
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    const std::optional<Rope>& rope = spec_.kinds[kind].attention.rope;
    angles.push_back(rope ? step.Angles(*rope, kinds_[kind].rope) : RopeAngles{});
  }
  const Range own = cut_.Layers(spec_);
  for (int64_t i = own.begin; i < own.end; ++i) {
    const auto kind = static_cast<size_t>(spec_.layer_kind[static_cast<size_t>(i)]);
    DecoderLayer(step,
                 {spec_.kinds[kind], kinds_[kind], weights_.layers[static_cast<size_t>(i)], kv_.Layer(i), spec_, angles[kind]}, x);
  }
  StepLogits logits = Leave(step, x);
  DROVER_RETURN_IF_ERROR(step.Finish());
  DROVER_RETURN_IF_ERROR(CheckFinite(step.batch(), logits));
  return logits;
}

Tensor Decoder::Embed(Step& step) {
  const Tensor x = step.Embed({weights_.embedding, cut_.Vocab(spec_).begin}, {weights_.positions, cut_.Positions(spec_).begin}, spec_.hidden);
  step.Scale(spec_.embedding_scale, x);
  if (spec_.embedding_norm) step.NormInPlace(x, spec_.hidden, weights_.embedding_norm, weights_.embedding_norm_bias);
  return x;
}

Tensor Decoder::Enter(Step& step) {
  if (cut_.first_stage()) return Embed(step);
  const Tensor x = step.Take(step.batch().rows(), spec_.hidden);
  step.Record(ranks_.Receive(std::as_writable_bytes(x.all()), cut_.rank - cut_.grid.stage_ranks()));
  return x;
}

// Every rank of a stage holds the same rows, so each sends them to one rank of the next.
StepLogits Decoder::Leave(Step& step, Tensor x) {
  const int64_t rows = static_cast<int64_t>(step.batch().logit_rows.size()), first_of_last = cut_.grid.ranks - cut_.grid.stage_ranks();
  if (cut_.last_stage()) {
    StepLogits logits = Logits(step, x);
    if (cut_.grid.stages > 1 && cut_.place() == 0 && rows > 0 && step.Finish().ok())
      step.Record(ranks_.Send(std::as_bytes(std::span(logits.values)), 0));
    return logits;
  }
  if (step.Finish().ok()) step.Record(ranks_.Send(std::as_bytes(x.all()), cut_.rank + cut_.grid.stage_ranks()));
  if (cut_.rank != 0 || rows == 0) return {0, spec_.vocab, {}};
  StepLogits logits{rows, spec_.vocab, std::vector<float>(static_cast<size_t>(rows * spec_.vocab))};
  if (step.Finish().ok()) step.Record(ranks_.Receive(std::as_writable_bytes(std::span(logits.values)), first_of_last));
  return logits;
}

// cap(W_out·norm(x) + b) of the rows that were asked for.
StepLogits Decoder::Logits(Step& step, Tensor x) {
  const std::span<const int32_t> rows = step.batch().logit_rows;
  const PackedWeight& output = spec_.tied_embeddings ? weights_.embedding : weights_.output;
  StepLogits logits{static_cast<int64_t>(rows.size()), spec_.vocab, std::vector<float>(rows.size() * static_cast<size_t>(spec_.vocab))};
  for (size_t begin = 0; begin < rows.size(); begin += kLogitRowsAtOnce) {
    Arena::Scope scope(step.arena());
    const std::span<const int32_t> piece = rows.subspan(begin, std::min<size_t>(kLogitRowsAtOnce, rows.size() - begin));
    const Tensor h = step.Norm(step.Gather(x, piece), weights_.final_norm, weights_.final_norm_bias);
    const Tensor own = step.Linear(h, output, weights_.output_bias);
    step.Scale(1 / spec_.logit_divisor, own);
    if (spec_.logit_softcap) step.SoftCap(*spec_.logit_softcap, own);
    GatherLogits(step, own, logits.values.data() + begin * static_cast<size_t>(spec_.vocab));
  }
  return logits;
}

void Decoder::GatherLogits(Step& step, Tensor own, float* to) {
  std::vector<int64_t> counts;
  for (int64_t place = 0; place < stage_.size(); ++place)
    counts.push_back(own.rows * RankCut{cut_.grid, place}.Vocab(spec_).size());
  const Tensor all = step.Take(own.rows, spec_.vocab);
  step.Record(step.Finish().ok() ? step.ranks().AllGather(own.all(), counts, all.all()) : absl::OkStatus());
  const float* from = all.data;
  for (int64_t place = 0; place < stage_.size(); ++place) {
    const Range columns = RankCut{cut_.grid, place}.Vocab(spec_);
    for (int64_t row = 0; row < own.rows; ++row, from += columns.size())
      std::copy_n(from, columns.size(), to + row * spec_.vocab + columns.begin);
  }
}

absl::Status Decoder::CheckFinite(const Batch& batch, const StepLogits& logits) const {
  const auto bad = std::ranges::find_if(logits.values, [](float value) { return !std::isfinite(value); });
  if (bad == logits.values.end()) return absl::OkStatus();
  const int64_t row = (bad - logits.values.begin()) / spec_.vocab;
  return Internal("the logits of position ",
                  batch.positions[static_cast<size_t>(batch.logit_rows[static_cast<size_t>(row)])], " are not finite");
}

}  // namespace drover
