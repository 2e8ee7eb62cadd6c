// Phi-1, 1.5 and 2: attention and feed-forward beside each other behind one LayerNorm, biases everywhere, RoPE on a part of the head.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kO, "self_attn.dense"},          {Role::kUp, "mlp.fc1"},
                                   {Role::kDown, "mlp.fc2"},               {Role::kFinalNorm, "final_layernorm"},
                                   {Role::kQNorm, "self_attn.q_layernorm"}, {Role::kKNorm, "self_attn.k_layernorm"}};
constexpr Naming kNaming{.modules = kModules};
}  // namespace

absl::StatusOr<ModelSpec> Phi(ConfigReader& config) {
  config.Alias("rms_norm_eps", "layer_norm_eps");
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rotary_share = 0.5, .norm_eps = 1e-5, .activation = "gelu_new"}));
  spec.family = "phi";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  spec.residual = Residual::kParallel;
  spec.output_bias = true;
  MakeUngated(spec, true);
  Attention& attention = spec.kinds[0].attention;
  attention.qkv_bias = attention.out_bias = true;
  if (config.BoolOr("qk_layernorm", false)) attention.qk_norm = QkNorm::kEachHead;
  return spec;
}

}  // namespace drover
