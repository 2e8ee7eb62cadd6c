// GPT-NeoX and Pythia: LayerNorm, q, k, v fused head by head, biases everywhere, RoPE on a part of the head, an ungated
// feed-forward that reads the same stream as the attention unless use_parallel_residual is false.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "embed_in"}, {Role::kFinalNorm, "final_layer_norm"}, {Role::kOutput, "embed_out"},
                                   {Role::kO, "attention.dense"},  {Role::kUp, "mlp.dense_h_to_4h"},       {Role::kDown, "mlp.dense_4h_to_h"}};
constexpr Naming kNaming{.base = "gpt_neox.", .modules = kModules, .qkv = FusedQkv::kGrouped, .qkv_module = "attention.query_key_value"};
}  // namespace

absl::StatusOr<ModelSpec> GptNeoX(ConfigReader& config) {
  config.Alias("rms_norm_eps", "layer_norm_eps");
  config.Alias("rope_theta", "rotary_emb_base");
  config.Alias("partial_rotary_factor", "rotary_pct");
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rotary_share = 0.25, .norm_eps = 1e-5, .activation = "gelu"}));
  spec.family = "gpt_neox";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  spec.residual = config.BoolOr("use_parallel_residual", true) ? Residual::kParallelTwoNorms : Residual::kSequential;
  MakeUngated(spec, true);
  Attention& attention = spec.kinds[0].attention;
  attention.qkv_bias = attention.out_bias = config.BoolOr("attention_bias", true);
  return spec;
}

}  // namespace drover
