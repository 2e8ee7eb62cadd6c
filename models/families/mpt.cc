// MPT: ALiBi, LayerNorm without bias, no biases at all, fused q, k, v with an optional clamp, an ungated feed-forward.
// The reference uses ALiBi with slopes down to 2^-8 whatever alibi_bias_max says; so does this.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "wte"},   {Role::kFinalNorm, "norm_f"}, {Role::kAttnNorm, "norm_1"}, {Role::kO, "attn.out_proj"},
                                   {Role::kFfnNorm, "norm_2"}, {Role::kUp, "ffn.up_proj"},   {Role::kDown, "ffn.down_proj"}};
constexpr Naming kNaming{.base = "transformer.", .layer = "blocks.", .modules = kModules, .qkv = FusedQkv::kStacked, .qkv_module = "attn.Wqkv"};

void ReadAttention(ConfigReader& config, Attention& attention) {
  for (const std::string_view key : {"alibi_bias_max", "attn_impl"}) config.Ignore(key);
  for (const std::string_view key : {"attn_uses_sequence_id", "prefix_lm", "qk_ln"}) config.RequireFalse(key);
  if (!config.BoolOr("alibi", true)) config.Fail("alibi", "false", "true");
  if (const std::string type = config.StringOr("attn_type", "multihead_attention"); type != "multihead_attention")
    config.Fail("attn_type", Cat("\"", type, "\""), "multihead_attention");
  attention.clip = config.MaybeNumber("clip_qkv");
  attention.scale = config.NumberOr("softmax_scale", attention.scale);
}
}  // namespace

absl::StatusOr<ModelSpec> Mpt(ConfigReader& config) {
  config.Alias("hidden_size", "d_model");
  config.Alias("num_attention_heads", "n_heads");
  config.Alias("num_hidden_layers", "n_layers");
  config.Alias("max_position_embeddings", "max_seq_len");
  config.Alias("rms_norm_eps", "layer_norm_epsilon");
  for (const std::string_view key : {"emb_pdrop", "embedding_fraction", "init_config", "init_device", "learned_pos_emb", "logit_scale",
                                     "norm_type", "tokenizer_name", "verbose"})
    config.Ignore(key);
  const int64_t ratio = config.IntOr("expansion_ratio", 4, {1, 64});
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.ffn_times_hidden = ratio, .max_positions = 2048, .norm_eps = 1e-5,
                                                               .activation = "gelu", .tied = true}));
  spec.family = "mpt";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayerNoBias;
  if (!config.BoolOr("no_bias", true)) config.Fail("no_bias", "false", "true");
  MakeUngated(spec, false);
  UseAlibi(spec, {.slopes = AlibiSlopes::kEverySecond});
  if (ConfigReader* attention = config.Object("attn_config")) ReadAttention(*attention, spec.kinds[0].attention);
  return spec;
}

}  // namespace drover
