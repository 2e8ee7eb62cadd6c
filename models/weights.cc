// See weights.h: the table, its cuts and its sums. locate.cc maps it to what a checkpoint stores.
#include "models/weights.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include "common/check.h"
#include "models/checkpoint/names.h"

namespace drover {
namespace {

// Collects rows of the table for one layer (or the whole model).
class Builder {
 public:
  explicit Builder(const ModelSpec& spec) : spec_(spec) {}

  void Embeddings() {
    Matrix(Role::kEmbedding, spec_.vocab, spec_.hidden, Split::kVocabRows);
    if (spec_.learned_positions) Matrix(Role::kPositionTable, spec_.max_positions, spec_.hidden, Split::kPositionRows);
    if (spec_.embedding_norm) Norm(Role::kEmbeddingNorm, Role::kEmbeddingNormBias);
  }
  void Layer(int32_t layer) {
    layer_ = layer;
    const LayerKind& kind = spec_.layer(layer);
    const bool post = spec_.residual == Residual::kPostNorm || spec_.residual == Residual::kSandwich;
    if (spec_.residual != Residual::kPostNorm) Norm(Role::kAttnNorm, Role::kAttnNormBias);
    Attention(kind.attention);
    if (post) Norm(Role::kAttnPostNorm, std::nullopt);
    if (spec_.residual != Residual::kPostNorm && spec_.residual != Residual::kParallel) Norm(Role::kFfnNorm, Role::kFfnNormBias);
    if (kind.ffn.experts)
      Experts(*kind.ffn.experts);
    else
      Dense(kind.ffn);
    if (post) Norm(Role::kFfnPostNorm, std::nullopt);
  }
  void Output() {
    layer_ = -1;
    Norm(Role::kFinalNorm, Role::kFinalNormBias);
    if (!spec_.tied_embeddings) Matrix(Role::kOutput, spec_.vocab, spec_.hidden, Split::kVocabRows);
    if (spec_.output_bias) Vector(Role::kOutputBias, spec_.vocab, Split::kVocabRows);
  }
  std::vector<Weight> Take() { return std::move(table_); }

 private:
  void Matrix(Role role, int64_t rows, int64_t cols, Split split, int32_t expert = -1) {
    table_.push_back({role, layer_, expert, HfName(NamingOf(spec_), role, layer_, expert), rows, cols, split});
  }
  void Vector(Role role, int64_t length, Split split) { Matrix(role, length, 1, split); }

  // The vectors that the model's norm has, over the residual stream.
  void Norm(Role gain, std::optional<Role> bias) { Norm(gain, bias, spec_.hidden, Split::kReplicated); }
  void Norm(Role gain, std::optional<Role> bias, int64_t width, Split split) {
    if (spec_.norm == NormKind::kLayerPlain) return;
    Vector(gain, width, split);
    if (spec_.norm == NormKind::kRmsPlusOne) table_.back().plus = 1;
    if (spec_.norm == NormKind::kLayer && bias) Vector(*bias, width, split);
  }

  void Attention(const drover::Attention& a) {
    if (a.latent)
      Latent(a, *a.latent);
    else
      Heads(a);
    if (a.sinks) Vector(Role::kSinks, a.heads, Split::kHeadRows);
    Matrix(Role::kO, spec_.hidden, a.heads * (a.latent ? a.latent->value_dim : a.head_dim), Split::kHeadCols);
    if (a.out_bias) Vector(Role::kOBias, spec_.hidden, Split::kReplicated);
  }

  void Heads(const drover::Attention& a) {
    const int64_t q = a.heads * a.head_dim, kv = a.kv_heads * a.head_dim;
    Matrix(Role::kQ, q, spec_.hidden, Split::kHeadRows);
    Matrix(Role::kK, kv, spec_.hidden, Split::kKvHeadRows);
    Matrix(Role::kV, kv, spec_.hidden, Split::kKvHeadRows);
    if (a.qkv_bias) {
      Vector(Role::kQBias, q, Split::kHeadRows);
      Vector(Role::kKBias, kv, Split::kKvHeadRows);
      Vector(Role::kVBias, kv, Split::kKvHeadRows);
    }
    if (a.qk_norm == QkNorm::kEachHead) {
      Norm(Role::kQNorm, Role::kQNormBias, a.head_dim, Split::kReplicated);
      Norm(Role::kKNorm, Role::kKNormBias, a.head_dim, Split::kReplicated);
    }
    if (a.qk_norm == QkNorm::kWholeWidth) {
      Vector(Role::kQNorm, q, Split::kHeadRows);
      Vector(Role::kKNorm, kv, Split::kKvHeadRows);
    }
  }

  // The latents are the same on every rank; what leads from them to heads is cut by heads.
  void Latent(const drover::Attention& a, const LatentKv& latent) {
    if (latent.q_rank) {
      Matrix(Role::kQDown, *latent.q_rank, spec_.hidden, Split::kReplicated);
      if (latent.down_bias) Vector(Role::kQDownBias, *latent.q_rank, Split::kReplicated);
      Vector(Role::kQDownNorm, *latent.q_rank, Split::kReplicated);
      Matrix(Role::kQUp, a.heads * a.head_dim, *latent.q_rank, Split::kHeadRows);
    } else {
      Matrix(Role::kQ, a.heads * a.head_dim, spec_.hidden, Split::kHeadRows);
    }
    const int64_t cached = latent.kv_rank + a.head_dim - latent.nope_dim;
    Matrix(Role::kKvDown, cached, spec_.hidden, Split::kReplicated);
    if (latent.down_bias) Vector(Role::kKvDownBias, cached, Split::kReplicated);
    Vector(Role::kKvDownNorm, latent.kv_rank, Split::kReplicated);
    Matrix(Role::kKvUp, a.heads * (latent.nope_dim + latent.value_dim), latent.kv_rank, Split::kHeadRows);
  }

  void Dense(const Ffn& ffn) {
    if (ffn.gated) Matrix(Role::kGate, ffn.hidden, spec_.hidden, Split::kFfnRows);
    Matrix(Role::kUp, ffn.hidden, spec_.hidden, Split::kFfnRows);
    Matrix(Role::kDown, spec_.hidden, ffn.hidden, Split::kFfnCols);
    if (!ffn.bias) return;
    if (ffn.gated) Vector(Role::kGateBias, ffn.hidden, Split::kFfnRows);
    Vector(Role::kUpBias, ffn.hidden, Split::kFfnRows);
    Vector(Role::kDownBias, spec_.hidden, Split::kReplicated);
  }

  void Experts(const drover::Experts& experts) {
    Matrix(Role::kRouter, experts.count, spec_.hidden, Split::kReplicated);
    if (experts.router.logit_bias) Vector(Role::kRouterBias, experts.count, Split::kReplicated);
    if (experts.router.choice_bias) Vector(Role::kChoiceBias, experts.count, Split::kReplicated);
    for (int32_t e = 0; e < experts.count; ++e) Expert(experts, e);
    if (experts.shared_hidden != 0) Gated(Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, experts.shared_hidden);
    if (experts.shared_gate) Matrix(Role::kSharedSwitch, 1, spec_.hidden, Split::kReplicated);
  }

  void Expert(const drover::Experts& experts, int32_t e) {
    if (experts.pairs) {
      Matrix(Role::kExpertPairs, 2 * experts.hidden, spec_.hidden, Split::kExpertRows, e);
      Matrix(Role::kExpertPairsBias, 2 * experts.hidden, 1, Split::kExpertRows, e);
    } else {
      Matrix(Role::kExpertGate, experts.hidden, spec_.hidden, Split::kExpertRows, e);
      Matrix(Role::kExpertUp, experts.hidden, spec_.hidden, Split::kExpertRows, e);
    }
    Matrix(Role::kExpertDown, spec_.hidden, experts.hidden, Split::kExpertCols, e);
    if (experts.pairs) Matrix(Role::kExpertDownBias, spec_.hidden, 1, Split::kExpertOnce, e);
  }

  void Gated(Role gate, Role up, Role down, int64_t hidden) {
    Matrix(gate, hidden, spec_.hidden, Split::kFfnRows);
    Matrix(up, hidden, spec_.hidden, Split::kFfnRows);
    Matrix(down, spec_.hidden, hidden, Split::kFfnCols);
  }

  const ModelSpec& spec_;
  int32_t layer_ = -1;
  std::vector<Weight> table_;
};

Range Times(Range range, int64_t factor) { return {range.begin * factor, range.end * factor}; }

// Layers belong to one stage. The first embeds, the last computes logits; a tied embedding that both need is on both.
bool OnOwnStage(const Weight& weight, const ModelSpec& spec, const RankCut& cut) {
  const Range layers = cut.Layers(spec);
  if (weight.layer >= 0) return weight.layer >= layers.begin && weight.layer < layers.end;
  if (weight.role > Role::kEmbeddingNormBias) return cut.last_stage();
  return cut.first_stage() || (weight.role == Role::kEmbedding && spec.tied_embeddings && cut.last_stage());
}

// Biases of what is summed over an attention part, or over a stage.
bool OnOtherRank(Role role, const RankCut& cut) {
  return (role == Role::kOBias && cut.seat() != 0) || (role == Role::kDownBias && cut.place() != 0);
}

Part ExpertPart(const Weight& weight, const Experts& experts, const RankCut& cut) {
  const Range own = cut.Experts(experts), columns = cut.ExpertColumns(experts);
  const int64_t set = cut.grid.stage_ranks() / cut.grid.expert_parts;
  const bool held = weight.expert >= own.begin && weight.expert < own.end && (weight.split != Split::kExpertOnce || cut.place() % set == 0);
  if (!held) return {{0, 0}, {0, 0}};
  if (weight.split == Split::kExpertRows) return {Times(columns, weight.rows / experts.hidden), {0, weight.cols}};
  return {{0, weight.rows}, weight.split == Split::kExpertCols ? columns : Range{0, weight.cols}};
}

}  // namespace

bool IsVector(Role role) {
  constexpr std::array kVectors = {
      Role::kEmbeddingNorm, Role::kEmbeddingNormBias, Role::kFinalNorm,   Role::kFinalNormBias,   Role::kOutputBias,   Role::kAttnNorm,
      Role::kAttnNormBias,  Role::kAttnPostNorm,      Role::kQBias,       Role::kKBias,           Role::kVBias,        Role::kOBias,
      Role::kQNorm,         Role::kQNormBias,         Role::kKNorm,       Role::kKNormBias,       Role::kSinks,        Role::kQDownBias,
      Role::kQDownNorm,     Role::kKvDownBias,        Role::kKvDownNorm,  Role::kFfnNorm,         Role::kFfnNormBias,  Role::kFfnPostNorm,
      Role::kGateBias,      Role::kUpBias,            Role::kDownBias,    Role::kRouterBias,      Role::kChoiceBias,   Role::kExpertPairsBias,
      Role::kExpertDownBias};
  for (const Role vector : kVectors)
    if (vector == role) return true;
  return false;
}

bool Weight::vector() const { return IsVector(role); }

std::vector<Weight> WeightTable(const ModelSpec& spec) {
  Builder builder(spec);
  builder.Embeddings();
  for (int32_t i = 0; i < spec.layers(); ++i) builder.Layer(i);
  builder.Output();
  return builder.Take();
}

namespace {

// As if the weight's layer were of the rank's stage.
Part PartInStage(const Weight& weight, const ModelSpec& spec, const RankCut& cut) {
  const Range all_rows{0, weight.rows}, all_cols{0, weight.cols};
  if (OnOtherRank(weight.role, cut)) return {{0, 0}, all_cols};
  if (weight.split == Split::kReplicated) return {all_rows, all_cols};
  if (weight.split == Split::kVocabRows) return {cut.Vocab(spec), all_cols};
  if (weight.split == Split::kPositionRows) return {cut.Positions(spec), all_cols};
  const LayerKind& kind = spec.layer(weight.layer);
  const Attention& attention = kind.attention;
  switch (weight.split) {
    case Split::kHeadRows: return {Times(cut.Heads(attention), weight.rows / attention.heads), all_cols};
    case Split::kKvHeadRows: return {Times(cut.KvHeads(attention), weight.rows / attention.kv_heads), all_cols};
    case Split::kHeadCols: return {all_rows, Times(cut.Heads(attention), weight.cols / attention.heads)};
    case Split::kFfnRows: return {cut.FfnColumns(weight.rows), all_cols};
    case Split::kFfnCols: return {all_rows, cut.FfnColumns(weight.cols)};
    default: break;
  }
  DROVER_CHECK(kind.ffn.experts.has_value());
  return ExpertPart(weight, *kind.ffn.experts, cut);
}

}  // namespace

Part PartOf(const Weight& weight, const ModelSpec& spec, const RankCut& cut) {
  return OnOwnStage(weight, spec, cut) ? PartInStage(weight, spec, cut) : Part{};
}

int64_t PartBytes(const Weight& weight, const Part& part, const StorageForm& form) {
  if (part.empty()) return 0;
  if (weight.vector()) return part.rows.size() * static_cast<int64_t>(sizeof(float));
  return MatrixBytes(part.rows, part.cols, weight.cols, form);
}

namespace {

// Of a weight whose tensor is not there: what the config says.
StorageForm FormWithoutFile(const Weight& weight, const Checkpoint& checkpoint) {
  const StorageForm plain{.codes = DType::kBF16};
  if (!checkpoint.quantization || weight.layer < 0 || weight.role == Role::kRouter) return plain;
  const std::string_view module = std::string_view(weight.name).substr(0, weight.name.rfind('.'));
  return PlannedForm(*checkpoint.quantization, module, weight.rows, weight.cols).value_or(plain);
}

}  // namespace

StorageForm FormOf(const Weight& weight, const Checkpoint& checkpoint) {
  const absl::StatusOr<Source> source = Locate(weight, checkpoint);
  return source.ok() ? source->form() : FormWithoutFile(weight, checkpoint);
}

WeightSizes::WeightSizes(const Checkpoint& checkpoint) : spec_(checkpoint.spec) {
  std::map<std::tuple<Role, int32_t, int32_t, StorageForm>, size_t> known;  // role, kind of layer, expert, form
  for (const Weight& weight : WeightTable(spec_)) {
    const StorageForm form = FormOf(weight, checkpoint);
    const int32_t kind = weight.layer < 0 ? -1 : spec_.layer_kind[static_cast<size_t>(weight.layer)];
    const auto [it, fresh] = known.try_emplace({weight.role, kind, weight.expert, form}, groups_.size());
    if (fresh) groups_.push_back({weight, form, {}});
    groups_[it->second].layers.push_back(weight.layer);
  }
}

int64_t WeightSizes::RankBytes(const RankCut& cut) const {
  int64_t bytes = 0;
  const Range own = cut.Layers(spec_);
  for (const Group& group : groups_) {
    const auto begin = std::ranges::lower_bound(group.layers, own.begin), end = std::ranges::lower_bound(group.layers, own.end);
    const bool in_layers = group.weight.layer >= 0;
    const int64_t count = in_layers ? end - begin : static_cast<int64_t>(group.layers.size());
    const Part part = in_layers ? PartInStage(group.weight, spec_, cut) : PartOf(group.weight, spec_, cut);
    bytes += count * PartBytes(group.weight, part, group.form);
  }
  return bytes;
}

int64_t WeightBytes(const Checkpoint& checkpoint, const RankCut& cut) { return WeightSizes(checkpoint).RankBytes(cut); }

ParameterCount CountParameters(const ModelSpec& spec) {
  ParameterCount count;
  for (const Weight& weight : WeightTable(spec)) {
    const int64_t size = weight.rows * weight.cols;
    count.total += size;
    if (weight.expert < 0 || weight.expert < spec.layer(weight.layer).ffn.experts->active) count.active += size;
  }
  return count;
}

}  // namespace drover
