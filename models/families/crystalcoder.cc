// CrystalCoder is GPT-2 with RoPE in interleaved pairs, a gated feed-forward, an embedding times a factor, logits times another, and
// scores over the head size instead of its root.
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "wte"}, {Role::kPositionTable, "wpe"}, {Role::kFinalNorm, "ln_f"},  {Role::kAttnNorm, "ln_1"},
                                   {Role::kO, "attn.c_proj"}, {Role::kFfnNorm, "ln_2"},  {Role::kGate, "mlp.c_fc2"}, {Role::kUp, "mlp.c_fc"},
                                   {Role::kDown, "mlp.c_proj"}};
constexpr Naming kNaming{.base = "transformer.", .layer = "h.", .modules = kModules, .qkv = FusedQkv::kStacked,
                         .qkv_module = "attn.c_attn", .input_major = true};
}  // namespace

absl::StatusOr<ModelSpec> CrystalCoder(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, Gpt2(config));
  spec.family = "crystalcoder";
  spec.naming = &kNaming;
  spec.embedding_scale = config.NumberOr("mup_embeddings_scale", 1);
  spec.logit_divisor = 1 / (config.NumberOr("mup_output_alpha", 1) * config.NumberOr("mup_width_scale", 1));
  const bool gated = config.StringOr("activation_function", "swiglu") == "swiglu", by_size = config.BoolOr("mup_scale_qk_dot_by_d", false);
  const std::string positions = config.StringOr("position_embedding_type", "rotary");
  spec.learned_positions = positions == "learned";
  if (positions == "alibi") UseAlibi(spec, {});
  if (positions != "learned" && positions != "alibi" && positions != "rotary")
    config.Fail("position_embedding_type", Cat("\"", positions, "\""), "rotary, alibi or learned");
  for (LayerKind& kind : spec.kinds) {
    Attention& attention = kind.attention;
    kind.ffn.gated = gated;
    if (positions == "rotary") attention.rope = Rope{RopePairing::kInterleaved, config.IntOr("rotary_dim", attention.head_dim, kCount), 10000, {}};
    if (by_size) attention.scale /= std::sqrt(static_cast<double>(attention.head_dim));
  }
  return spec;
}

}  // namespace drover
