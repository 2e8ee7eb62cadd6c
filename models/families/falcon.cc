// Falcon: LayerNorm, q, k, v fused by KV group, an ungated feed-forward. The new decoder architecture (40B, 180B, Falcon 2) has KV
// groups and one or two norms in front of parallel blocks; before it there was one KV head (7B) or one per head (RW, with ALiBi).
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "word_embeddings"}, {Role::kFinalNorm, "ln_f"}, {Role::kO, "self_attention.dense"},
                                   {Role::kUp, "mlp.dense_h_to_4h"},      {Role::kDown, "mlp.dense_4h_to_h"}};
constexpr ModuleName kTwoNormModules[] = {{Role::kAttnNorm, "ln_attn"},   {Role::kFfnNorm, "ln_mlp"}, {Role::kEmbedding, "word_embeddings"},
                                          {Role::kFinalNorm, "ln_f"},     {Role::kO, "self_attention.dense"},
                                          {Role::kUp, "mlp.dense_h_to_4h"}, {Role::kDown, "mlp.dense_4h_to_h"}};
constexpr Naming Names(std::span<const ModuleName> modules) {
  return {.base = "transformer.", .layer = "h.", .modules = modules, .qkv = FusedQkv::kGrouped, .qkv_module = "self_attention.query_key_value"};
}
constexpr Naming kNaming = Names(kModules), kTwoNormNaming = Names(kTwoNormModules);

void ReadResidual(ConfigReader& config, bool new_decoder, ModelSpec& spec) {
  const int64_t norms = config.IntOr("num_ln_in_parallel_attn", new_decoder ? 2 : 1, {1, 2});
  const bool parallel = config.BoolOr("parallel_attn", true);
  if (!new_decoder && norms == 2) config.Fail("num_ln_in_parallel_attn", "2", "1, as new_decoder_architecture is false");
  if (new_decoder && !parallel) config.Fail("parallel_attn", "false", "true, as new_decoder_architecture is true");
  spec.residual = !parallel ? Residual::kSequential : norms == 2 ? Residual::kParallelTwoNorms : Residual::kParallel;
  spec.naming = spec.residual == Residual::kParallelTwoNorms ? &kTwoNormNaming : &kNaming;
}
}  // namespace

absl::StatusOr<ModelSpec> Falcon(ConfigReader& config) {
  config.Alias("hidden_size", "n_embed");
  config.Alias("num_key_value_heads", "num_kv_heads");
  config.Alias("intermediate_size", "ffn_hidden_size");
  config.Alias("hidden_act", "activation");
  config.Alias("rms_norm_eps", "layer_norm_epsilon");
  for (const std::string_view key : {"apply_residual_connection_post_layernorm", "ff_factor"}) config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.ffn_times_hidden = 4, .max_positions = 2048, .norm_eps = 1e-5,
                                                               .activation = "gelu", .tied = true}));
  spec.family = "falcon";
  spec.norm = NormKind::kLayer;
  const bool new_decoder = config.BoolOr("new_decoder_architecture", false), multi_query = config.BoolOr("multi_query", true);
  ReadResidual(config, new_decoder, spec);
  const bool bias = config.BoolOr("bias", false);
  MakeUngated(spec, bias);
  Attention& attention = spec.kinds[0].attention;
  attention.qkv_bias = attention.out_bias = bias;
  if (!new_decoder) attention.kv_heads = multi_query ? 1 : attention.heads;
  // The reference adds the bias, scaled like the scores, to the scores and once more to the mask.
  if (config.BoolOr("alibi", false)) UseAlibi(spec, {.factor = 2 * attention.scale, .rounded = true});
  return spec;
}

}  // namespace drover
