// Gemma 2 is Gemma with norms before and after each block, soft caps on scores and logits, a score scale of its own, and a window on
// every second layer.
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kFfnNorm, "pre_feedforward_layernorm"}};
constexpr Naming kNaming{.modules = kModules};
constexpr int64_t kWindow = 4096;
}  // namespace

absl::StatusOr<ModelSpec> Gemma2(ConfigReader& config) {
  config.Ignore("hidden_act");
  config.Ignore("sliding_window_size");
  config.RequireFalse("use_bidirectional_attention");
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.head_dim = 256, .kv_heads = 4, .activation = "gelu_pytorch_tanh", .tied = true}));
  spec.family = "gemma2";
  spec.naming = &kNaming;
  spec.norm = NormKind::kRmsPlusOne;
  spec.residual = Residual::kSandwich;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
  spec.logit_softcap = config.NumberOrNull("final_logit_softcapping", 30);
  LayerKind& kind = spec.kinds[0];
  kind.ffn.activation = ReadActivation(config, "hidden_activation", "gelu_pytorch_tanh");
  kind.attention.scale = 1 / std::sqrt(config.NumberOr("query_pre_attn_scalar", 256));
  kind.attention.softcap = config.NumberOrNull("attn_logit_softcapping", 50);
  const int64_t window = config.IntOr("sliding_window", kWindow, kPositions);
  const std::vector<bool> listed = ReadSlidingLayers(config, spec.layers());
  ForEachLayer(spec, [&](int64_t layer, LayerKind& each) {
    if (listed.empty() ? layer % 2 == 0 : listed[static_cast<size_t>(layer)]) each.attention.window = window;
  });
  return spec;
}

}  // namespace drover
