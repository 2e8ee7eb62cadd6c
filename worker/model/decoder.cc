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

absl::Status CheckPeers(const RankCut& cut, const RankPeers& peers) {
  if (peers.ranks == nullptr) return InvalidArgument("ranks: found no communicator");
  if (cut.grid.ranks != peers.ranks->size() || cut.rank != peers.ranks->rank())
    return InvalidArgument("cut: found rank ", cut.rank, " of ", cut.grid.ranks, ", expected ", peers.ranks->rank(), " of ",
                           peers.ranks->size());
  return CheckGrid(cut, peers.runs);
}

absl::Status Check(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings, const RankParts& parts) {
  DROVER_RETURN_IF_ERROR(Validate(spec));
  DROVER_RETURN_IF_ERROR(CheckPeers(cut, parts.peers));
  if (settings.max_step_tokens < 1 || settings.max_sequences < 1)
    return InvalidArgument("max_step_tokens ", settings.max_step_tokens, ", max_sequences ", settings.max_sequences, ": expected 1 or more");
  return absl::OkStatus();
}

// Few enough shapes of steps to keep a recording of each.
int64_t PaddedRows(int64_t rows) {
  const int64_t multiple = rows <= 4 ? 1 : rows <= 16 ? 4 : rows <= 64 ? 8 : 32;
  return (rows + multiple - 1) / multiple * multiple;
}

}  // namespace

void RankPeers::Leave() {
  runs.part.reset();
  runs.stage.reset();
  owned.reset();
  ranks = nullptr;
}

absl::StatusOr<RankPeers> MeetPeers(const Grid& grid, Communicator& ranks) {
  RankPeers peers{.ranks = &ranks, .owned = nullptr, .runs = {}};
  if (grid.stages > 1) {
    DROVER_ASSIGN_OR_RETURN(peers.runs.stage, ranks.Split(grid.stages));
  }
  if (grid.attention_parts > 1) {
    DROVER_ASSIGN_OR_RETURN(peers.runs.part, ranks.Split(grid.stages * grid.attention_parts));
  }
  return peers;
}

absl::StatusOr<RankPeers> MeetPeers(const Grid& grid, std::unique_ptr<Communicator> ranks) {
  DROVER_ASSIGN_OR_RETURN(RankPeers peers, MeetPeers(grid, *ranks));
  peers.owned = std::move(ranks);
  return peers;
}

OpsBounds BoundsOf(const ModelSpec& spec, const DecoderSettings& settings) {
  return {.tokens = settings.max_step_tokens, .cols = WidestColumns(spec), .keys = settings.kv_blocks * settings.block_tokens};
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings,
                                                         RankWeights weights, RankParts parts) {
  DROVER_RETURN_IF_ERROR(Check(spec, cut, settings, parts));
  if (static_cast<int64_t>(weights.layers.size()) != spec.layers())
    return InvalidArgument("weights: found ", weights.layers.size(), " layers, expected ", spec.layers());
  Memory& memory = parts.ops->memory();
  // A device makes all logits of a step at once, and pads steps so that they can be replayed.
  const bool device = !memory.on_host();
  const KvSize kv_size{settings.kv_blocks + (device ? 1 : 0), settings.block_tokens, settings.kv_type};
  const StepSize size{settings.max_step_tokens, device ? std::min(PaddedRows(settings.max_sequences), settings.max_step_tokens) : kLogitRowsAtOnce};
  DROVER_ASSIGN_OR_RETURN(KvStore kv, KvStore::Create(spec, cut, kv_size, memory));
  absl::StatusOr<Arena> arena = Arena::Create(StepFloats(spec, cut, size, *parts.ops), memory);
  if (!arena.ok()) return Annotate(arena.status(), "memory of a step");
  std::vector<KindCut> kinds;
  for (const LayerKind& kind : spec.kinds) {
    DROVER_ASSIGN_OR_RETURN(KindCut own, CutKind(kind, cut, memory));
    kinds.push_back(std::move(own));
  }
  return std::unique_ptr<Decoder>(new Decoder(spec, cut, settings, std::move(weights), std::move(parts),
                                              {std::move(kv), *std::move(arena), std::move(kinds), size}));
}

Decoder::Decoder(const ModelSpec& spec, const RankCut& cut, const DecoderSettings& settings, RankWeights weights, RankParts parts, Made made)
    : spec_(spec),
      cut_(cut),
      ops_(std::move(parts.ops)),
      weights_(std::move(weights)),
      limits_{spec.vocab,          settings.max_step_tokens, settings.max_sequences,   settings.kv_blocks,
              settings.block_tokens, cut.grid.attention_parts, cut.attention_part()},
      peers_(std::move(parts.peers)),
      kv_(std::move(made.kv)),
      arena_(std::move(made.arena)),
      kinds_(std::move(made.kinds)),
      step_size_(made.size),
      spare_blocks_{static_cast<int32_t>(settings.kv_blocks)} {
  for (const KindCut& kind : kinds_) angles_.emplace_back(kind.rope);
}

void Decoder::LeavePeers() {
  ops_->Forget();
  peers_.Leave();
}

absl::Status Decoder::Rejoin(RankPeers peers) {
  DROVER_RETURN_IF_ERROR(CheckPeers(cut_, peers));
  LeavePeers();
  peers_ = std::move(peers);
  return absl::OkStatus();
}

int64_t Decoder::ReplayRows(const Batch& batch) const {
  if (!on_device() || cut_.grid.stages > 1 || cut_.grid.attention_parts > 1 || !ranks().recordable() || !IsDecoding(batch)) return 0;
  const int64_t rows = std::min(PaddedRows(batch.rows()), step_size_.logit_rows);
  return rows >= batch.rows() ? rows : 0;
}

absl::StatusOr<StepLogits> Decoder::Run(const StepPlan& plan, std::chrono::steady_clock::time_point deadline, const Meanwhile& meanwhile) {
  ranks().SetDeadline(deadline);
  ops_->SetDeadline(deadline);
  DROVER_ASSIGN_OR_RETURN(Batch batch, MakeBatch(plan, limits_));
  if (batch.rows() == 0) return StepLogits{0, spec_.vocab, {}};
  const auto asked = static_cast<int64_t>(batch.logit_rows.size());
  const int64_t replayed = ReplayRows(batch);
  if (replayed > 0) Pad(batch, replayed, spare_blocks_);
  Arena::Scope scope(arena_);
  ops_->Begin(batch.sequences);
  const StepInputs inputs = PlaceInputs(batch, {spec_, angles_, draws() ? step_size_.logit_rows : 0}, ops_->memory(), arena_, staging_);
  const bool layer_norm = spec_.norm != NormKind::kRms && spec_.norm != NormKind::kRmsPlusOne;
  Step step(batch, {layer_norm, static_cast<float>(spec_.norm_eps)}, *ops_, {stage(), part()}, arena_);
  std::optional<double> gap;
  if (idle_since_) gap = std::chrono::duration<double>(std::chrono::steady_clock::now() - *idle_since_).count();
  absl::StatusOr<StepLogits> logits = Forward(step, inputs, {asked, replayed > 0, meanwhile});
  if (!logits.ok()) return Annotate(logits.status(), Cat("rank ", cut_.rank, ", step ", plan.step));
  logits->gap_seconds = gap;
  return logits;
}

absl::StatusOr<StepLogits> Decoder::Forward(Step& step, const StepInputs& inputs, const Way& way) {
  StepLogits logits{.rows = cut_.rank == 0 ? way.asked : 0, .vocab = spec_.vocab, .values = {}, .drawn = {}};
  const int64_t most = step_size_.logit_rows;
  if (draws()) draw_room_ = {inputs.draws, step.TakeInts(most), step.TakeScores(most), step.Take(most, spec_.vocab)};
  if (!on_device()) way.meanwhile();
  const Tensor made = way.replays ? Replay(step, inputs) : Layers(step, inputs);
  if (on_device()) {
    way.meanwhile();
    UploadMasks(step.batch(), inputs.masks, ops_->memory(), staging_);
    LookAhead(step.batch());
  }
  if (!way.replays)
    Leave(step, made, inputs.logit_rows, logits);
  else if (cut_.rank == 0 && step.Finish().ok())
    TakeLogits(step, {made, 0, logits.rows}, logits);
  DROVER_RETURN_IF_ERROR(step.Finish());
  DROVER_RETURN_IF_ERROR(ops_->Finish());
  idle_since_ = std::chrono::steady_clock::now();
  DROVER_RETURN_IF_ERROR(CheckFinite(step.batch(), logits));
  return logits;
}

Tensor Decoder::Replay(Step& step, const StepInputs& inputs) {
  const int64_t rows = step.batch().rows();
  step.Record(ops_->Replay(rows, [&] {
    Arena::Scope scope(step.arena());
    replayed_[rows] = GatherLogits(step, Layers(step, inputs), inputs.logit_rows);
    return step.Finish();
  }));
  return replayed_[rows];
}

void Decoder::LookAhead(const Batch& batch) {
  for (const SequenceRows& sequence : batch.sequences)
    for (Angles& angles : angles_) angles.Of(sequence.position + sequence.rows);
}

Tensor Decoder::Layers(Step& step, const StepInputs& inputs) {
  const Tensor x = Enter(step, inputs), h = step.Take(x.rows, x.cols);
  const Range own = cut_.Layers(spec_);
  if (!own.empty()) EnterLayers(step, spec_, weights_.layers[static_cast<size_t>(own.begin)], x, h);
  for (int64_t i = own.begin; i < own.end; ++i) {
    const auto kind = static_cast<size_t>(spec_.layer_kind[static_cast<size_t>(i)]);
    const LayerWeights* weights = &weights_.layers[static_cast<size_t>(i)];
    const LayerWeights* next = i + 1 < own.end ? weights + 1 : nullptr;
    DecoderLayer(step, {spec_.kinds[kind], kinds_[kind], *weights, kv_.Layer(i), spec_, inputs.kinds[kind], next}, x, h);
  }
  return x;
}

Tensor Decoder::Embed(Step& step, const StepInputs& inputs) {
  const Tensor x = step.Embed({weights_.embedding, cut_.Vocab(spec_).begin}, {weights_.positions, cut_.Positions(spec_).begin}, inputs,
                              spec_.hidden);
  step.Scale(spec_.embedding_scale, x);
  if (spec_.embedding_norm) step.NormInPlace(x, spec_.hidden, weights_.embedding_norm, weights_.embedding_norm_bias);
  return x;
}

Tensor Decoder::Enter(Step& step, const StepInputs& inputs) {
  if (cut_.first_stage()) return Embed(step, inputs);
  const Tensor x = step.Take(step.batch().rows(), spec_.hidden);
  step.Record(ranks().Receive(std::as_writable_bytes(x.all()), cut_.rank - cut_.grid.stage_ranks()));
  return x;
}

// Every rank of a stage holds the same rows, so each sends them to one rank of the next. Logits are made by the last stage and
// complete on rank 0.
void Decoder::Leave(Step& step, Tensor x, std::span<const int32_t> rows, StepLogits& logits) {
  const int64_t first_of_last = cut_.grid.ranks - cut_.grid.stage_ranks();
  const bool last = cut_.last_stage(), gives = cut_.rank == first_of_last && cut_.grid.stages > 1, takes = cut_.rank == 0;
  if (!last && step.Finish().ok()) step.Record(ranks().Send(std::as_bytes(x.all()), cut_.rank + cut_.grid.stage_ranks()));
  if (!last && !takes) return;
  const auto at_once = static_cast<size_t>(step_size_.logit_rows);
  for (size_t begin = 0; begin < rows.size(); begin += at_once) {
    Arena::Scope scope(step.arena());
    const std::span<const int32_t> piece = rows.subspan(begin, std::min(at_once, rows.size() - begin));
    const Tensor all = last ? GatherLogits(step, x, piece) : step.Take(static_cast<int64_t>(piece.size()), spec_.vocab);
    if (gives && step.Finish().ok()) step.Record(ranks().Send(std::as_bytes(all.all()), 0));
    if (takes && !last && step.Finish().ok()) step.Record(ranks().Receive(std::as_writable_bytes(all.all()), first_of_last));
    if (takes) TakeLogits(step, {all, static_cast<int64_t>(begin), static_cast<int64_t>(piece.size())}, logits);
  }
}

Tensor Decoder::GatherLogits(Step& step, Tensor x, std::span<const int32_t> rows) {
  const PackedWeight& output = spec_.tied_embeddings ? weights_.embedding : weights_.output;
  const Tensor h = step.Norm(step.Gather(x, rows), weights_.final_norm, weights_.final_norm_bias);
  const Tensor own = step.Linear(h, output, weights_.output_bias);
  step.Scale(1 / spec_.logit_divisor, own);
  if (spec_.logit_softcap) step.SoftCap(*spec_.logit_softcap, own);
  std::vector<int64_t> counts;
  for (int64_t place = 0; place < stage().size(); ++place) counts.push_back(own.rows * RankCut{cut_.grid, place}.Vocab(spec_).size());
  const Tensor all = step.Take(own.rows, spec_.vocab);
  if (step.Finish().ok()) step.Record(stage().AllGather(own.all(), counts, all.all()));
  return all;
}

void Decoder::TakeLogits(Step& step, const LogitPiece& piece, StepLogits& logits) {
  const auto draws = std::span(step.batch().draws).subspan(static_cast<size_t>(piece.first), static_cast<size_t>(piece.count));
  if (this->draws() && std::ranges::any_of(draws, [](const TokenDraw* draw) { return draw != nullptr; })) return Draw(step, piece, logits);
  const size_t before = logits.values.size(), size = static_cast<size_t>(piece.count * spec_.vocab);
  logits.values.resize(before + size);
  Spread(step, piece, std::span(logits.values).subspan(before));
}

// The ranks' columns of each row, one rank after the other.
void Decoder::Spread(Step& step, const LogitPiece& piece, std::span<float> rows) {
  float* from = piece.gathered.data;
  for (int64_t place = 0; place < cut_.grid.stage_ranks(); ++place) {
    const Range columns = RankCut{cut_.grid, place}.Vocab(spec_);
    const Tensor part{from, piece.count, columns.size()};
    gathered_.resize(static_cast<size_t>(part.size()));
    step.Download(part, gathered_);
    for (int64_t row = 0; row < piece.count; ++row)
      std::copy_n(gathered_.data() + row * columns.size(), columns.size(), rows.data() + row * spec_.vocab + columns.begin);
    from += piece.gathered.rows * columns.size();
  }
}

Tensor Decoder::PlaceRows(Step& step, const LogitPiece& piece) {
  const Tensor rows{draw_room_.rows.data, piece.count, spec_.vocab};
  float* from = piece.gathered.data;
  for (int64_t place = 0; place < cut_.grid.stage_ranks(); ++place) {
    const Range columns = RankCut{cut_.grid, place}.Vocab(spec_);
    if (!columns.empty()) step.CopyHeads(1, {from, piece.count, columns.size()}, 0, rows, columns.begin, columns.size());
    from += piece.gathered.rows * columns.size();
  }
  return rows;
}

void Decoder::Draw(Step& step, const LogitPiece& piece, StepLogits& logits) {
  const auto first = static_cast<size_t>(piece.first), count = static_cast<size_t>(piece.count);
  const auto asked = std::span(step.batch().draws).subspan(first, count);
  const auto draws = draw_room_.draws.subspan(first, count);
  const auto ids = draw_room_.ids.first(count);
  const Tensor rows = PlaceRows(step, piece);
  step.Draw(rows, draws, ids);
  if (std::ranges::any_of(asked, [](const TokenDraw* draw) { return draw != nullptr && draw->scores >= 0; })) {
    // Edits and masks have changed the rows; those that were gathered are what they were, so one room is enough.
    step.ScoreDrawn(PlaceRows(step, piece), draws, ids, draw_room_.scores.first(count));
    logits.scores.resize(static_cast<size_t>(logits.rows));
    step.Download(std::as_bytes(draw_room_.scores.first(count)), std::as_writable_bytes(std::span(logits.scores).subspan(first, count)));
  }
  logits.drawn.resize(static_cast<size_t>(logits.rows), kNotDrawn);
  const auto drawn = std::span(logits.drawn).subspan(first, count);
  step.Download(std::as_bytes(ids), std::as_writable_bytes(drawn));
  for (size_t i = 0; i < count; ++i) {
    if (asked[i] != nullptr) continue;
    drawn[i] = kNotDrawn;
    logits.values.resize(logits.values.size() + static_cast<size_t>(spec_.vocab));
    step.Download({rows.row(static_cast<int64_t>(i)).data(), 1, spec_.vocab}, std::span(logits.values).last(static_cast<size_t>(spec_.vocab)));
  }
}

absl::Status Decoder::CheckFinite(const Batch& batch, const StepLogits& logits) const {
  const auto refuse = [&](size_t row) {
    return Internal("the logits of position ", batch.positions[static_cast<size_t>(batch.logit_rows[row])], " are not finite");
  };
  auto values = std::span(logits.values);
  for (size_t row = 0; row < static_cast<size_t>(logits.rows); ++row) {
    const int32_t drawn = logits.drawn.empty() ? kNotDrawn : logits.drawn[row];
    if (drawn == kNotFinite) return refuse(row);
    if (drawn != kNotDrawn) continue;
    if (!std::ranges::all_of(values.first(static_cast<size_t>(spec_.vocab)), [](float value) { return std::isfinite(value); })) return refuse(row);
    values = values.subspan(static_cast<size_t>(spec_.vocab));
  }
  return absl::OkStatus();
}

}  // namespace drover
