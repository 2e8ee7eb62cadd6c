// Qwen1.5-MoE and Qwen2-MoE are Qwen2 with routed layers, whose shared expert stands behind a sigmoid gate, and other windows: of the
// layers below max_window_layers every second one, from the first on.
#include "models/families/families.h"

namespace drover {
namespace {

constexpr ModuleName kModules[] = {{Role::kSharedGate, "mlp.shared_expert.gate_proj"},
                                   {Role::kSharedUp, "mlp.shared_expert.up_proj"},
                                   {Role::kSharedDown, "mlp.shared_expert.down_proj"}};
constexpr Naming kNaming{.modules = kModules};

void ReadWindows(ConfigReader& config, ModelSpec& spec) {
  const bool on = config.BoolOr("use_sliding_window", false);
  const int64_t window = config.IntOr("sliding_window", 4096, kPositions), below = config.IntOr("max_window_layers", 28, {0, 1 << 16});
  const std::vector<bool> listed = ReadSlidingLayers(config, spec.layers());
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    const bool slides = listed.empty() ? layer % 2 == 0 && layer < below : listed[static_cast<size_t>(layer)];
    if (on && slides) kind.attention.window = window;
  });
}

}  // namespace

absl::StatusOr<ModelSpec> Qwen2Moe(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "qwen2_moe";
  spec.naming = &kNaming;
  spec.kinds[0].attention.qkv_bias = config.BoolOr("qkv_bias", true);
  spec.kinds[0].attention.out_bias = false;
  ReadWindows(config, spec);
  Experts experts;
  experts.count = config.IntOr("num_experts", 60, {1, 1 << 16});
  experts.active = config.IntOr("num_experts_per_tok", 4, {1, experts.count});
  experts.hidden = config.IntOr("moe_intermediate_size", 1408, kCount);
  experts.router.renormalise = config.BoolOr("norm_topk_prob", false);
  experts.shared_hidden = config.IntOr("shared_expert_intermediate_size", 5632, kCount);
  experts.shared_gate = true;
  ReadQwenExperts(config, experts, spec);
  return spec;
}

}  // namespace drover
