// GPT-2: LayerNorm, learned positions, fused q, k, v, an ungated feed-forward, biases everywhere; matrices are stored [in, out].
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "wte"}, {Role::kPositionTable, "wpe"}, {Role::kFinalNorm, "ln_f"},
                                   {Role::kAttnNorm, "ln_1"}, {Role::kO, "attn.c_proj"}, {Role::kFfnNorm, "ln_2"},
                                   {Role::kUp, "mlp.c_fc"},   {Role::kDown, "mlp.c_proj"}};
constexpr Naming kNaming{.base = "transformer.", .layer = "h.", .modules = kModules, .qkv = FusedQkv::kStacked,
                         .qkv_module = "attn.c_attn", .input_major = true};
}  // namespace

absl::StatusOr<ModelSpec> Gpt2(ConfigReader& config) {
  ReadGptKeys(config);
  for (const std::string_view key : {"n_ctx", "reorder_and_upcast_attn"}) config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.ffn_times_hidden = 4, .norm_eps = 1e-5, .activation = "gelu_new", .tied = true}));
  spec.family = "gpt2";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  spec.learned_positions = true;
  MakeUngated(spec, true);
  const bool scaled = config.BoolOr("scale_attn_weights", true), by_layer = config.BoolOr("scale_attn_by_inverse_layer_idx", false);
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    kind.attention.rope.reset();
    kind.attention.qkv_bias = kind.attention.out_bias = true;
    if (!scaled) kind.attention.scale = 1;
    if (by_layer) kind.attention.scale /= static_cast<double>(layer + 1);
  });
  return spec;
}

}  // namespace drover
