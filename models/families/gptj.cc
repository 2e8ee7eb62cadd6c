// GPT-J: attention and feed-forward beside each other behind one LayerNorm, RoPE in interleaved pairs on the first dimensions of a
// head, an ungated feed-forward with biases, attention without, and a bias on the output matrix.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kEmbedding, "wte"},  {Role::kFinalNorm, "ln_f"}, {Role::kAttnNorm, "ln_1"}, {Role::kQ, "attn.q_proj"},
                                   {Role::kK, "attn.k_proj"},  {Role::kV, "attn.v_proj"},  {Role::kO, "attn.out_proj"},
                                   {Role::kUp, "mlp.fc_in"},   {Role::kDown, "mlp.fc_out"}};
constexpr Naming kNaming{.base = "transformer.", .layer = "h.", .modules = kModules};
}  // namespace

absl::StatusOr<ModelSpec> GptJ(ConfigReader& config) {
  ReadGptKeys(config);
  for (const std::string_view key : {"rotary", "scale_attn_weights", "n_ctx"}) config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.ffn_times_hidden = 4, .norm_eps = 1e-5, .activation = "gelu_new"}));
  spec.family = "gptj";
  spec.naming = &kNaming;
  spec.norm = NormKind::kLayer;
  spec.residual = Residual::kParallel;
  spec.output_bias = true;
  MakeUngated(spec, true);
  Rope& rope = *spec.kinds[0].attention.rope;
  rope.pairing = RopePairing::kInterleaved;
  rope.dims = config.IntOr("rotary_dim", 64, kCount);
  return spec;
}

}  // namespace drover
