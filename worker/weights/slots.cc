// See slots.h.
#include "worker/weights/slots.h"

#include "common/check.h"

namespace drover {
namespace {

struct LayerMatrix {
  Role role;
  PackedWeight LayerWeights::*member;
};
constexpr LayerMatrix kLayerMatrices[] = {{Role::kQ, &LayerWeights::q},
                                          {Role::kK, &LayerWeights::k},
                                          {Role::kV, &LayerWeights::v},
                                          {Role::kO, &LayerWeights::o},
                                          {Role::kRouter, &LayerWeights::router}};

struct LayerVector {
  Role role;
  std::vector<float> LayerWeights::*member;
};
constexpr LayerVector kLayerVectors[] = {
    {Role::kAttnNorm, &LayerWeights::attn_norm}, {Role::kFfnNorm, &LayerWeights::ffn_norm}, {Role::kQNorm, &LayerWeights::q_norm},
    {Role::kKNorm, &LayerWeights::k_norm},       {Role::kQBias, &LayerWeights::q_bias},     {Role::kKBias, &LayerWeights::k_bias},
    {Role::kVBias, &LayerWeights::v_bias},       {Role::kOBias, &LayerWeights::o_bias}};

struct FfnMatrix {
  Role dense, expert, shared;
  PackedWeight FfnWeights::*member;
};
constexpr FfnMatrix kFfnMatrices[] = {{Role::kGate, Role::kExpertGate, Role::kSharedGate, &FfnWeights::gate},
                                      {Role::kUp, Role::kExpertUp, Role::kSharedUp, &FfnWeights::up},
                                      {Role::kDown, Role::kExpertDown, Role::kSharedDown, &FfnWeights::down}};

struct FfnVector {
  Role role;
  std::vector<float> FfnWeights::*member;
};
constexpr FfnVector kFfnVectors[] = {{Role::kGateBias, &FfnWeights::gate_bias},
                                     {Role::kUpBias, &FfnWeights::up_bias},
                                     {Role::kDownBias, &FfnWeights::down_bias}};

Slot LayerSlot(LayerWeights& layer, const Weight& weight, int64_t first_expert) {
  for (const LayerMatrix& row : kLayerMatrices)
    if (row.role == weight.role) return {&(layer.*row.member), nullptr};
  for (const LayerVector& row : kLayerVectors)
    if (row.role == weight.role) return {nullptr, &(layer.*row.member)};
  for (const FfnVector& row : kFfnVectors)
    if (row.role == weight.role) return {nullptr, &(layer.ffn.*row.member)};
  for (const FfnMatrix& row : kFfnMatrices) {
    if (row.dense == weight.role) return {&(layer.ffn.*row.member), nullptr};
    if (row.shared == weight.role) return {&(layer.shared.*row.member), nullptr};
    if (row.expert == weight.role) return {&(layer.experts[static_cast<size_t>(weight.expert - first_expert)].*row.member), nullptr};
  }
  DROVER_CHECK(false);
  return {};
}

}  // namespace

Slot SlotOf(RankWeights& weights, const Weight& weight, const ModelSpec& spec, const RankCut& cut) {
  if (weight.role == Role::kEmbedding) return {&weights.embedding, nullptr};
  if (weight.role == Role::kOutput) return {&weights.output, nullptr};
  if (weight.role == Role::kFinalNorm) return {nullptr, &weights.final_norm};
  const int64_t first_expert = weight.expert < 0 ? 0 : cut.Experts(*spec.layer(weight.layer).ffn.experts).begin;
  return LayerSlot(weights.layers[static_cast<size_t>(weight.layer)], weight, first_expert);
}

RankWeights Shape(const ModelSpec& spec, const RankCut& cut) {
  RankWeights weights;
  weights.layers.resize(static_cast<size_t>(spec.layers()));
  for (int64_t i = 0; i < spec.layers(); ++i)
    if (const auto& experts = spec.layer(i).ffn.experts)
      weights.layers[static_cast<size_t>(i)].experts.resize(static_cast<size_t>(cut.Experts(*experts).size()));
  return weights;
}

PackedWeight MakePacked(const Part& part, DType dtype) {
  const StoredColumns stored = StoredCols(part.cols, dtype);
  PackedWeight packed;
  packed.dtype = dtype;
  packed.rows = part.rows.size();
  packed.cols = part.cols.size();
  packed.lead = stored.lead;
  packed.row_bytes = stored.bytes;
  packed.bytes = AlignedBytes(packed.rows * packed.row_bytes);
  return packed;
}

}  // namespace drover
