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
                                          {Role::kQDown, &LayerWeights::q_down},
                                          {Role::kQUp, &LayerWeights::q_up},
                                          {Role::kKvDown, &LayerWeights::kv_down},
                                          {Role::kKvUp, &LayerWeights::kv_up},
                                          {Role::kRouter, &LayerWeights::router},
                                          {Role::kSharedSwitch, &LayerWeights::shared_switch}};

struct LayerVector {
  Role role;
  FloatVector LayerWeights::*member;
};
constexpr LayerVector kLayerVectors[] = {
    {Role::kAttnNorm, &LayerWeights::attn_norm}, {Role::kFfnNorm, &LayerWeights::ffn_norm}, {Role::kQNorm, &LayerWeights::q_norm},
    {Role::kKNorm, &LayerWeights::k_norm},       {Role::kQBias, &LayerWeights::q_bias},     {Role::kKBias, &LayerWeights::k_bias},
    {Role::kVBias, &LayerWeights::v_bias},       {Role::kOBias, &LayerWeights::o_bias},     {Role::kSinks, &LayerWeights::sinks},
    {Role::kQDownBias, &LayerWeights::q_down_bias}, {Role::kQDownNorm, &LayerWeights::q_down_norm},
    {Role::kKvDownBias, &LayerWeights::kv_down_bias}, {Role::kKvDownNorm, &LayerWeights::kv_down_norm},
    {Role::kRouterBias, &LayerWeights::router_bias}, {Role::kChoiceBias, &LayerWeights::choice_bias},
    {Role::kAttnNormBias, &LayerWeights::attn_norm_bias}, {Role::kAttnPostNorm, &LayerWeights::attn_post_norm},
    {Role::kFfnNormBias, &LayerWeights::ffn_norm_bias},   {Role::kFfnPostNorm, &LayerWeights::ffn_post_norm},
    {Role::kQNormBias, &LayerWeights::q_norm_bias},       {Role::kKNormBias, &LayerWeights::k_norm_bias}};

struct ExpertMatrix {
  Role role;
  PackedWeight FfnWeights::*member;
};
constexpr ExpertMatrix kExpertMatrices[] = {{Role::kExpertGate, &FfnWeights::gate},
                                            {Role::kExpertUp, &FfnWeights::up},
                                            {Role::kExpertPairs, &FfnWeights::pairs},
                                            {Role::kExpertDown, &FfnWeights::down}};

struct ExpertVector {
  Role role;
  FloatVector FfnWeights::*member;
};
constexpr ExpertVector kExpertVectors[] = {{Role::kExpertPairsBias, &FfnWeights::pairs_bias},
                                           {Role::kExpertDownBias, &FfnWeights::down_bias}};

struct FfnMatrix {
  Role dense, shared;
  PackedWeight FfnWeights::*member;
};
constexpr FfnMatrix kFfnMatrices[] = {{Role::kGate, Role::kSharedGate, &FfnWeights::gate},
                                      {Role::kUp, Role::kSharedUp, &FfnWeights::up},
                                      {Role::kDown, Role::kSharedDown, &FfnWeights::down}};

struct FfnVector {
  Role role;
  FloatVector FfnWeights::*member;
};
constexpr FfnVector kFfnVectors[] = {{Role::kGateBias, &FfnWeights::gate_bias},
                                     {Role::kUpBias, &FfnWeights::up_bias},
                                     {Role::kDownBias, &FfnWeights::down_bias}};

Slot ExpertSlot(FfnWeights& expert, Role role) {
  for (const ExpertMatrix& row : kExpertMatrices)
    if (row.role == role) return {&(expert.*row.member), nullptr};
  for (const ExpertVector& row : kExpertVectors)
    if (row.role == role) return {nullptr, &(expert.*row.member)};
  DROVER_CHECK(false);
  return {};
}
struct WholeMatrix {
  Role role;
  PackedWeight RankWeights::*member;
};
constexpr WholeMatrix kWholeMatrices[] = {
    {Role::kEmbedding, &RankWeights::embedding}, {Role::kPositionTable, &RankWeights::positions}, {Role::kOutput, &RankWeights::output}};

struct WholeVector {
  Role role;
  FloatVector RankWeights::*member;
};
constexpr WholeVector kWholeVectors[] = {{Role::kEmbeddingNorm, &RankWeights::embedding_norm},
                                         {Role::kEmbeddingNormBias, &RankWeights::embedding_norm_bias},
                                         {Role::kFinalNorm, &RankWeights::final_norm},
                                         {Role::kFinalNormBias, &RankWeights::final_norm_bias},
                                         {Role::kOutputBias, &RankWeights::output_bias}};

Slot LayerSlot(LayerWeights& layer, const Weight& weight, int64_t first_expert) {
  if (weight.expert >= 0) return ExpertSlot(layer.experts[static_cast<size_t>(weight.expert - first_expert)], weight.role);
  for (const LayerMatrix& row : kLayerMatrices)
    if (row.role == weight.role) return {&(layer.*row.member), nullptr};
  for (const LayerVector& row : kLayerVectors)
    if (row.role == weight.role) return {nullptr, &(layer.*row.member)};
  for (const FfnVector& row : kFfnVectors)
    if (row.role == weight.role) return {nullptr, &(layer.ffn.*row.member)};
  for (const FfnMatrix& row : kFfnMatrices) {
    if (row.dense == weight.role) return {&(layer.ffn.*row.member), nullptr};
    if (row.shared == weight.role) return {&(layer.shared.*row.member), nullptr};
  }
  DROVER_CHECK(false);
  return {};
}

}  // namespace

Slot SlotOf(RankWeights& weights, const Weight& weight, const ModelSpec& spec, const RankCut& cut) {
  for (const WholeMatrix& row : kWholeMatrices)
    if (row.role == weight.role) return {&(weights.*row.member), nullptr};
  for (const WholeVector& row : kWholeVectors)
    if (row.role == weight.role) return {nullptr, &(weights.*row.member)};
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

namespace {

Groups MakeGroups(const Weight& weight, const Part& part, const StorageForm& form) {
  const GroupRanges ranges = GroupsOf(part.rows, part.cols, weight.cols, form);
  const int64_t count = ranges.rows.size() * ranges.cols.size();
  Groups groups;
  groups.rows = form.group_rows;
  groups.cols = form.group_cols;
  groups.row_offset = (form.first_row + part.rows.begin) % form.group_rows;
  groups.col_offset = form.ordered ? 0 : part.cols.begin % form.group_cols;
  groups.across = ranges.cols.size();
  groups.scale_type = form.scales;
  groups.scales = AlignedBytes(count * Info(form.scales).bytes);
  if (form.zeros) groups.zeros = AlignedBytes(count);
  return groups;
}

}  // namespace

PackedWeight MakePacked(const Weight& weight, const Part& part, const StorageForm& form) {
  const StoredColumns stored = StoredCols(part.cols, form);
  PackedWeight packed;
  packed.dtype = form.codes;
  packed.rows = part.rows.size();
  packed.cols = part.cols.size();
  packed.lead = stored.lead;
  packed.row_bytes = stored.bytes;
  packed.bytes = AlignedBytes(packed.rows * packed.row_bytes);
  if (form.grouped()) packed.groups = MakeGroups(weight, part, form);
  return packed;
}

}  // namespace drover
