// See step.h.
#include "worker/model/step.h"

#include <algorithm>

#include "worker/model/step_memory.h"

namespace drover {
namespace {

RouteScore ScoreOf(RouterScore score) {
  if (score == RouterScore::kSoftmax) return RouteScore::kSoftmax;
  return score == RouterScore::kSigmoid ? RouteScore::kSigmoid : RouteScore::kSigmoidOfLogits;
}

}  // namespace

GateKind KindOf(Activation activation) {
  constexpr GateKind kKinds[] = {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGelu, GateKind::kRelu};
  return kKinds[static_cast<size_t>(activation)];
}

Tensor Step::Zeros(int64_t rows, int64_t cols) {
  Tensor x = Take(rows, cols);
  ops_.memory().Zero(std::as_writable_bytes(x.all()));
  return x;
}

void Step::Copy(Tensor from, Tensor to) {
  ops_.memory().Copy(std::as_bytes(from.all()), std::as_writable_bytes(to.all()).data());
}

std::span<int32_t> Step::TakeInts(int64_t count) {
  return {static_cast<int32_t*>(static_cast<void*>(Take(1, count).data)), static_cast<size_t>(count)};
}

std::span<RowScores> Step::TakeScores(int64_t count) {
  return {static_cast<RowScores*>(static_cast<void*>(Take(count, kScoreFloats).data)), static_cast<size_t>(count)};
}

void Step::Download(std::span<const std::byte> from, std::span<std::byte> to) {
  if (status_.ok()) status_ = ops_.memory().Download(from.data(), to);
}

void Step::Download(Tensor from, std::span<float> to) { Download(std::as_bytes(from.all()), std::as_writable_bytes(to)); }

Tensor Step::Embed(const Table& vocabulary, const Table& positions, const StepInputs& inputs, int64_t hidden) {
  Tensor x = Take(batch_.rows(), hidden);
  ops_.Embed(vocabulary.rows, vocabulary.first, inputs.ids, x);
  if (!positions.rows.empty()) {
    Arena::Scope scope(arena_);
    const Tensor y = Take(batch_.rows(), hidden);
    ops_.Embed(positions.rows, positions.first, inputs.rows, y);
    Add(y, x);
  }
  return Reduce(x);
}

Tensor Step::Norm(Tensor x, std::span<const float> gain, std::span<const float> bias) {
  Tensor y = Take(x.rows, x.cols);
  NormInto(x, gain, bias, y);
  return y;
}

void Step::NormInto(Tensor x, std::span<const float> gain, std::span<const float> bias, Tensor y) {
  if (norm_.layer_norm)
    ops_.LayerNorm(x, x.cols, gain, bias, norm_.eps, y);
  else
    ops_.RmsNorm(x, gain, norm_.eps, y);
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

Tensor Step::GatedLinear(Activation activation, Tensor x, const Weighted& gate, const Weighted& up) {
  const Tensor y = Take(x.rows, gate.weight.rows), room = Take(x.rows, up.weight.rows);
  ops_.GatedLinear(KindOf(activation), {gate.weight, gate.bias, y}, {up.weight, up.bias, room}, x);
  return y;
}

Tensor Step::Activate(Activation activation, Tensor x) {
  ops_.Activate(KindOf(activation), x);
  return x;
}

void Step::Switch(Tensor switches, Tensor x) {
  ops_.Sigmoid(switches);
  ops_.ScaleRows(switches.all(), x);
}

Step::Routes Step::Route(const Experts& experts, std::span<const float> choice_bias, Tensor logits) {
  const std::span<int32_t> chosen = TakeInts(logits.rows * experts.active);
  const std::span<float> weights = Take(logits.rows, experts.active).all();
  const Router& router = experts.router;
  ops_.Route({experts.active, ScoreOf(router.score), choice_bias, router.groups, router.kept_groups,
              router.group_score == GroupScore::kBestTwo, router.renormalise, static_cast<float>(router.scale)},
             logits, chosen, weights);
  return {chosen, weights};
}

void Step::AddExperts(const ExpertSet& set, const Routes& routes, Tensor x, Tensor out) {
  if (x.rows == 0 || set.own.empty()) return;
  Arena::Scope scope(arena_);
  const int64_t active = static_cast<int64_t>(routes.experts.size()) / x.rows;
  const Tensor room = Take(1, ops_.ExpertRoom(x.rows, active, x.cols, set.columns));
  ops_.Experts(set, routes.experts, routes.weights, x, room.all(), out);
}

Tensor Step::Gather(Tensor x, std::span<const int32_t> rows) {
  Tensor y = Take(static_cast<int64_t>(rows.size()), x.cols);
  ops_.Gather(x, rows, y);
  return y;
}

}  // namespace drover
