// Experts in DeepSeek's spelling, and the layers that have them.
#include "models/families/families.h"

namespace drover {

void ReadExperts(ConfigReader& config, Experts defaults, int64_t dense_layers, ModelSpec& spec) {
  Experts experts = defaults;
  Router& router = experts.router;
  experts.count = config.IntOr("n_routed_experts", defaults.count, {1, 1 << 16});
  experts.active = config.IntOr("num_experts_per_tok", defaults.active, {1, experts.count});
  experts.hidden = config.IntOr("moe_intermediate_size", defaults.hidden, kCount);
  experts.shared_hidden = config.IntOr("n_shared_experts", defaults.shared_hidden, {0, 1024}) * experts.hidden;
  router.groups = config.IntOr("n_group", router.groups, {1, experts.count});
  router.kept_groups = config.IntOr("topk_group", router.kept_groups, {1, router.groups});
  router.renormalise = config.BoolOr("norm_topk_prob", router.renormalise);
  router.scale = config.NumberOr("routed_scaling_factor", router.scale);
  if (const int64_t every = config.IntOr("moe_layer_freq", 1, kCount); every != 1)
    config.Fail("moe_layer_freq", Cat(every), "1");
  for (const std::string_view training : {"aux_loss_alpha", "seq_aux", "ep_size"}) config.Ignore(training);
  PutExperts(experts, config.IntOr("first_k_dense_replace", dense_layers, {0, 1 << 16}), spec);
}

void PutExperts(const Experts& experts, int64_t dense_layers, ModelSpec& spec) {
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    if (layer < dense_layers) return;
    kind.ffn.hidden = 0;
    kind.ffn.experts = experts;
  });
}

}  // namespace drover
