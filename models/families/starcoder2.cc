// StarCoder2 is a decoder with LayerNorm, biases everywhere, an ungated feed-forward and, in some sizes, a window on every layer.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kUp, "mlp.c_fc"}, {Role::kDown, "mlp.c_proj"}};
constexpr Naming kNaming{.modules = kModules};
}  // namespace

absl::StatusOr<ModelSpec> StarCoder2(ConfigReader& config) {
  config.Alias("rms_norm_eps", "norm_epsilon");
  for (const std::string_view key : {"activation_function", "attention_softmax_in_fp32", "embedding_dropout", "mlp_type", "norm_type",
                                     "residual_dropout", "scale_attention_softmax_in_fp32", "scale_attn_weights"})
    config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.kv_heads = 2, .norm_eps = 1e-5, .activation = "gelu_pytorch_tanh", .tied = true}));
  spec.family = "starcoder2";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  const bool bias = config.BoolOr("use_bias", true);
  MakeUngated(spec, bias);
  spec.kinds[0].attention.qkv_bias = spec.kinds[0].attention.out_bias = bias;
  spec.kinds[0].attention.window = config.MaybeInt("sliding_window", kPositions);
  return spec;
}

}  // namespace drover
