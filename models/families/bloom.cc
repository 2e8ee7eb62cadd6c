// BLOOM: ALiBi, LayerNorm also on the embedding, q, k, v fused head by head, biases everywhere, an ungated feed-forward.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "word_embeddings"}, {Role::kEmbeddingNorm, "word_embeddings_layernorm"},
                                   {Role::kFinalNorm, "ln_f"},            {Role::kO, "self_attention.dense"},
                                   {Role::kUp, "mlp.dense_h_to_4h"},      {Role::kDown, "mlp.dense_4h_to_h"}};
constexpr Naming kNaming{.base = "transformer.", .layer = "h.", .modules = kModules, .qkv = FusedQkv::kGrouped,
                         .qkv_module = "self_attention.query_key_value"};
constexpr int64_t kTrainedPositions = 2048;  // ALiBi itself has no end
}  // namespace

absl::StatusOr<ModelSpec> Bloom(ConfigReader& config) {
  ReadGptKeys(config);
  config.Alias("hidden_size", "n_embed");
  config.Alias("max_position_embeddings", "seq_length");
  for (const std::string_view key : {"attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "slow_but_exact",
                                     "skip_bias_add", "skip_bias_add_qkv", "offset_alibi", "n_inner"})
    config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.ffn_times_hidden = 4, .max_positions = kTrainedPositions, .norm_eps = 1e-5,
                                                               .activation = "gelu_pytorch_tanh", .tied = true}));
  spec.family = "bloom";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  spec.embedding_norm = true;
  if (config.BoolOr("apply_residual_connection_post_layernorm", false)) spec.residual = Residual::kNormed;
  MakeUngated(spec, true);
  UseAlibi(spec, {});
  spec.kinds[0].attention.qkv_bias = spec.kinds[0].attention.out_bias = true;
  return spec;
}

}  // namespace drover
