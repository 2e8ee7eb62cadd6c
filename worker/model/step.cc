// See step.h.
#include "worker/model/step.h"

#include <algorithm>
#include <cmath>

namespace drover {
namespace {

GateKind KindOf(Activation activation) {
  constexpr GateKind kKinds[] = {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGelu, GateKind::kRelu};
  return kKinds[static_cast<size_t>(activation)];
}

RouteScore ScoreOf(RouterScore score) {
  if (score == RouterScore::kSoftmax) return RouteScore::kSoftmax;
  return score == RouterScore::kSigmoid ? RouteScore::kSigmoid : RouteScore::kSigmoidOfLogits;
}

// 1 + scale·ln(1 + floor((position + first) / floor_positions)), in f32 as the reference computes it.
float QueryFactor(const QueryTemperature& temperature, int64_t position) {
  const float steps = std::floor(static_cast<float>(position + temperature.first) / static_cast<float>(temperature.floor_positions));
  return std::log1p(steps) * static_cast<float>(temperature.scale) + 1;
}

void FillAngles(int64_t row, int64_t position, const RopeTable& table, const RopeAngles& angles) {
  for (size_t i = 0; i < table.inverse_frequency.size(); ++i) {
    const float angle = static_cast<float>(position) * table.inverse_frequency[i];
    angles.cos.row(row)[i] = std::cos(angle) * table.factor;
    angles.sin.row(row)[i] = std::sin(angle) * table.factor;
  }
}

}  // namespace

Tensor Step::Zeros(int64_t rows, int64_t cols) {
  Tensor x = Take(rows, cols);
  std::ranges::fill(x.all(), 0.0f);
  return x;
}

Tensor Step::Embed(const Table& vocabulary, const Table& positions, int64_t hidden) {
  Tensor x = Take(batch_.rows(), hidden);
  ops_.Embed(vocabulary.rows, vocabulary.first, batch_.ids, x);
  if (!positions.rows.empty()) {
    Arena::Scope scope(arena_);
    const Tensor y = Take(batch_.rows(), hidden);
    const std::vector<int32_t> rows(batch_.positions.begin(), batch_.positions.end());
    ops_.Embed(positions.rows, positions.first, rows, y);
    Add(y, x);
  }
  return Reduce(x);
}

Tensor Step::Norm(Tensor x, std::span<const float> gain, std::span<const float> bias) {
  Tensor y = Take(x.rows, x.cols);
  if (norm_.layer_norm)
    ops_.LayerNorm(x, x.cols, gain, bias, norm_.eps, y);
  else
    ops_.RmsNorm(x, gain, norm_.eps, y);
  return y;
}

void Step::NormInPlace(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias) {
  if (norm_.layer_norm)
    ops_.LayerNorm(x, width, gain, bias, norm_.eps, x);
  else
    ops_.RmsNorm(x, gain, norm_.eps, x);
}

void Step::NormSpread(const Spread& q, const Spread& k) {
  Arena::Scope scope(arena_);
  const Tensor sums = Take(2, q.x.rows);
  ops_.SumSquares(q.x, q.first, sums.row(0));
  ops_.SumSquares(k.x, k.first, sums.row(1));
  if (status_.ok()) status_ = part_.AllReduceSum(sums.all());
  ops_.ScaleBySquares(sums.row(0), q.width, q.gain, norm_.eps, q.x);
  ops_.ScaleBySquares(sums.row(1), k.width, k.gain, norm_.eps, k.x);
}

void Step::Scale(double factor, Tensor x) {
  if (factor != 1) ops_.Scale(static_cast<float>(factor), x);
}

Tensor Step::Linear(Tensor x, const PackedWeight& weight, std::span<const float> bias) {
  Tensor y = Take(x.rows, weight.rows);
  ops_.Linear(weight, bias, x, y);
  return y;
}

Tensor Step::PartialLinear(Tensor x, const PackedWeight& weight, std::span<const float> bias, int64_t outputs) {
  Tensor y = Take(x.rows, outputs);
  ops_.Linear(weight, bias, x, y);
  return y;
}

Tensor Step::Reduce(Tensor x) {
  if (status_.ok()) status_ = ranks_.AllReduceSum(x.all());
  return x;
}

Tensor Step::OwnRows(Tensor x) const {
  const Range own = batch_.own_rows;
  return {x.data + own.begin * x.cols, own.size(), x.cols};
}

// After the sum all ranks of a part hold its rows; each gives an equal share of them to the stage. Ranks of a part without rows
// skip its sum together.
Tensor Step::JoinParts(Tensor own) {
  if (batch_.part_rows.size() == 1) return Reduce(own);
  if (status_.ok() && own.rows > 0) status_ = part_.AllReduceSum(own.all());
  std::vector<int64_t> counts;
  for (const Range& rows : batch_.part_rows)
    for (int64_t seat = 0; seat < part_.size(); ++seat) counts.push_back(PartOf(rows.size() * own.cols, seat, part_.size()).size());
  const Range range = PartOf(own.size(), part_.rank(), part_.size());
  const std::span<const float> share(own.data + range.begin, static_cast<size_t>(range.size()));
  const Tensor all = Take(batch_.rows(), own.cols);
  if (status_.ok()) status_ = ranks_.AllGather(share, counts, all.all());
  return all;
}

RopeAngles Step::Angles(const Rope& rope, const RopeTable& table) {
  const auto pairs = static_cast<int64_t>(table.inverse_frequency.size());
  const int64_t own = batch_.own_rows.size();
  RopeAngles angles{Take(own, pairs), Take(own, pairs), rope.pairing == RopePairing::kInterleaved};
  const bool stretches = KeyLengthsOf(rope).limit != 0;
  RopeTable stretched;
  for (size_t s = 0; s < batch_.sequences.size(); ++s) {
    if (stretches) stretched = MakeRopeTable(rope, batch_.lengths[s]);
    const SequenceRows& rows = batch_.sequences[s];
    for (int64_t i = 0; i < rows.rows; ++i) FillAngles(rows.first_row + i, rows.position + i, stretches ? stretched : table, angles);
  }
  return angles;
}

void Step::Temper(Tensor q, const QueryTemperature& temperature) {
  Arena::Scope scope(arena_);
  Tensor factors = Take(1, q.rows);
  const auto own = std::span(batch_.positions).subspan(static_cast<size_t>(batch_.own_rows.begin), static_cast<size_t>(q.rows));
  for (size_t t = 0; t < own.size(); ++t) factors.all()[t] = QueryFactor(temperature, own[t]);
  ops_.ScaleRows(factors.all(), q);
}

Tensor Step::Attend(Tensor q, const KvLayer& kv, const AttentionShape& shape) {
  Tensor y = Take(q.rows, shape.heads * shape.ValueDim());
  ops_.Attend(q, batch_.sequences, kv, shape, y);
  return y;
}

Tensor Step::HeadLinear(Tensor x, const PackedWeight& weight, const HeadRows& part) {
  Tensor y = Take(x.rows, part.heads * part.rows);
  ops_.HeadLinear(weight, part, x, y);
  return y;
}

Tensor Step::Gate(Activation activation, Tensor gate, Tensor up) {
  ops_.GatedProduct(KindOf(activation), gate, up, gate);
  return gate;
}

Tensor Step::Activate(Activation activation, Tensor x) {
  ops_.Activate(KindOf(activation), x);
  return x;
}

Tensor Step::GatePairs(const ClampedPairs& pairs, Tensor gate_up) {
  Tensor y = Take(gate_up.rows, gate_up.cols / 2);
  ops_.ClampedPairs(static_cast<float>(pairs.alpha), static_cast<float>(pairs.limit), gate_up, y);
  return y;
}

void Step::Switch(Tensor switches, Tensor x) {
  ops_.Sigmoid(switches);
  ops_.ScaleRows(switches.all(), x);
}

const Step::Routes& Step::Route(const Experts& experts, std::span<const float> choice_bias, Tensor logits) {
  const auto active = static_cast<size_t>(experts.active);
  chosen_.resize(static_cast<size_t>(logits.rows) * active);
  chosen_weights_.resize(chosen_.size());
  const Router& router = experts.router;
  ops_.Route({experts.active, ScoreOf(router.score), choice_bias, router.groups, router.kept_groups,
              router.group_score == GroupScore::kBestTwo, router.renormalise, static_cast<float>(router.scale)},
             logits, chosen_, chosen_weights_);
  routes_.rows.resize(static_cast<size_t>(experts.count));
  routes_.weights.resize(static_cast<size_t>(experts.count));
  for (auto& rows : routes_.rows) rows.clear();
  for (auto& weights : routes_.weights) weights.clear();
  for (size_t i = 0; i < chosen_.size(); ++i) {
    routes_.rows[static_cast<size_t>(chosen_[i])].push_back(static_cast<int32_t>(i / active));
    routes_.weights[static_cast<size_t>(chosen_[i])].push_back(chosen_weights_[i]);
  }
  return routes_;
}

Tensor Step::Gather(Tensor x, std::span<const int32_t> rows) {
  Tensor y = Take(static_cast<int64_t>(rows.size()), x.cols);
  ops_.Gather(x, rows, y);
  return y;
}

}  // namespace drover
