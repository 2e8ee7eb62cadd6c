// NearOps: an Ops over host memory that takes every argument into another Ops's memory, asks it, and takes the results back: so that
// one set of parity tests serves all back ends. What an output held before goes along, and poison with it.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "kernels/ops.h"

namespace drover {

class NearOps : public Ops {
 public:
  explicit NearOps(std::unique_ptr<Ops> ops) : ops_(std::move(ops)) {}

  void Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) override;
  void Linears(std::span<const LinearPart> parts, Tensor x) override;
  void GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) override;
  void Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y) override;
  void RmsNorm(Tensor x, std::span<const float> gain, float eps, Tensor y) override;
  void LayerNorm(Tensor x, int64_t width, std::span<const float> gain, std::span<const float> bias, float eps, Tensor y) override;
  void AddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) override;
  void SumSquares(Tensor x, int64_t first, std::span<float> sums) override;
  void ScaleBySquares(std::span<const float> sums, int64_t width, std::span<const float> gain, float eps, Tensor x) override;
  void L2Norm(int64_t width, float eps, Tensor x) override;
  void Rope(const RopeAngles& angles, int64_t head_dim, Tensor x) override;
  void ScaleRows(std::span<const float> factors, Tensor x) override;
  void AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) override;
  void PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) override;
  void Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) override;
  void Clamp(float limit, Tensor x) override;
  void Scale(float factor, Tensor x) override;
  void SoftCap(float cap, Tensor x) override;
  void Activate(GateKind kind, Tensor x) override;
  void GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) override;
  void Add(Tensor a, Tensor x) override;
  void Sigmoid(Tensor x) override;
  void ClampedPairs(float alpha, float limit, Tensor x, Tensor y) override;
  void HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) override;
  void HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) override;
  void CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) override;
  void Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) override;
  void Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x, std::span<float> room,
               Tensor out) override;
  int64_t ExpertRoom(int64_t tokens, int64_t active, int64_t hidden, int64_t columns) const override {
    return ops_->ExpertRoom(tokens, active, hidden, columns);
  }
  void Randomise(const RandomMatrix& values, PackedWeight& weight) override;
  void Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) override;
  void ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) override;
  void Gather(Tensor x, std::span<const int32_t> rows, Tensor y) override;
  void ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out) override;

 private:
  std::unique_ptr<Ops> ops_;
  std::deque<std::vector<FfnWeights>> near_experts_;  // known to `ops_` by where they lie
};

}  // namespace drover
