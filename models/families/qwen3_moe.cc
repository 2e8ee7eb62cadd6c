// Qwen3-MoE is Qwen3 with a routed feed-forward on layers (i + 1) % decoder_sparse_step == 0 that mlp_only_layers leaves out.
#include <algorithm>

#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Qwen3Moe(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, Qwen3(config));
  spec.family = "qwen3_moe";
  Experts experts;
  experts.count = config.Int("num_experts", {1, 1 << 16});
  experts.active = config.Int("num_experts_per_tok", {1, experts.count});
  experts.hidden = config.Int("moe_intermediate_size", kCount);
  experts.router.renormalise = config.BoolOr("norm_topk_prob", false);
  ReadQwenExperts(config, experts, spec);
  return spec;
}

void ReadQwenExperts(ConfigReader& config, Experts experts, ModelSpec& spec) {
  const int64_t step = config.IntOr("decoder_sparse_step", 1, {1, 1 << 16});
  const std::vector<int64_t> dense = config.IntList("mlp_only_layers", {0, 1 << 16});
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    if ((layer + 1) % step != 0 || std::find(dense.begin(), dense.end(), layer) != dense.end()) return;
    kind.ffn.hidden = 0;
    kind.ffn.experts = experts;
  });
}

}  // namespace drover
