// Phi-3 and Phi-4 are Llama with fused projections, a window on every layer in some sizes, and longrope in those of 128k.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr Naming kNaming{.qkv = FusedQkv::kStacked, .qkv_module = "self_attn.qkv_proj", .gate_up_module = "mlp.gate_up_proj"};
}  // namespace

absl::StatusOr<ModelSpec> Phi3(ConfigReader& config) {
  for (const std::string_view key : {"attention_bias", "mlp_bias", "lm_head_bias"}) config.RequireFalse(key);
  for (const std::string_view key : {"full_attn_mod", "interpolate_factor"}) config.Ignore(key);
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rotary_share = 1, .original_positions = 4096, .norm_eps = 1e-5}));
  spec.family = "phi3";
  spec.naming = &kNaming;
  spec.kinds[0].attention.window = config.MaybeInt("sliding_window", kPositions);
  config.Ignore("original_max_position_embeddings");  // read with longrope
  return spec;
}

}  // namespace drover
