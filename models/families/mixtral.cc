// Mixtral is Mistral with a routed feed-forward on every layer: softmax over all experts, best k, always renormalised.
#include "models/families/families.h"

namespace drover {
namespace {
constexpr ModuleName kModules[] = {{Role::kRouter, "block_sparse_moe.gate"},
                                   {Role::kExpertGate, "block_sparse_moe.experts.{e}.w1"},
                                   {Role::kExpertUp, "block_sparse_moe.experts.{e}.w3"},
                                   {Role::kExpertDown, "block_sparse_moe.experts.{e}.w2"}};
constexpr Naming kNaming{.modules = kModules};
}  // namespace

absl::StatusOr<ModelSpec> Mixtral(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rope_theta = 1e6}));
  spec.family = "mixtral";
  spec.naming = &kNaming;
  LayerKind& kind = spec.kinds[0];
  kind.attention.window = config.MaybeInt("sliding_window", kPositions);
  Experts experts;
  experts.count = config.IntOr("num_local_experts", 8, {1, 1 << 16});
  experts.active = config.IntOr("num_experts_per_tok", 2, {1, experts.count});
  experts.hidden = kind.ffn.hidden;
  kind.ffn.hidden = 0;
  kind.ffn.experts = experts;
  return spec;
}

}  // namespace drover
