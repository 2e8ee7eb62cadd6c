// DeepSeek-V2, V3, R1 and Kimi K2 are Llama with latent attention and, behind the first layers, experts chosen by groups beside a
// shared one. V2 weighs them by their softmax; V3 by sigmoids, and chooses by these plus a learned bias.
#include <algorithm>

#include "models/families/families.h"

namespace drover {
namespace {

absl::StatusOr<ModelSpec> ReadDeepseek(ConfigReader& config) {
  const DecoderDefaults defaults{.head_dim = 64};  // replaced by the latent's
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, defaults));
  ReadLatent(config, defaults, {.q_rank = 1536, .kv_rank = 512, .nope_dim = 128, .value_dim = 128}, spec);
  return spec;
}

void RequireName(ConfigReader& config, std::string_view key, std::string_view served) {
  if (const std::string name = config.StringOr(key, served); name != served) config.Fail(key, Cat("\"", name, "\""), served);
}

}  // namespace

absl::StatusOr<ModelSpec> DeepseekV2(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDeepseek(config));
  spec.family = "deepseek_v2";
  spec.kinds[0].attention.rope->pairing = RopePairing::kInterleaved;  // whatever rope_interleave says
  RequireName(config, "scoring_func", "softmax");
  config.RequireFalse("mlp_bias");
  const std::string method = config.StringOr("topk_method", "greedy");
  if (method != "greedy" && method != "group_limited_greedy")
    config.Fail("topk_method", Cat("\"", method, "\""), "greedy or group_limited_greedy");
  ReadExperts(config, {.count = 64, .active = config.Int("num_experts_per_tok", {1, 1 << 16}), .hidden = 1407, .shared_hidden = 2}, 0, spec);
  for (LayerKind& kind : spec.kinds) {
    if (!kind.ffn.experts) continue;
    Router& router = kind.ffn.experts->router;
    router.renormalise = false;  // the reference does not, whatever norm_topk_prob says
    if (method == "greedy") router.groups = router.kept_groups = 1;
    // The experts of the other groups weigh nothing, so that more than the kept ones cannot be active.
    kind.ffn.experts->active = std::min(kind.ffn.experts->active, router.kept_groups * (kind.ffn.experts->count / router.groups));
  }
  return spec;
}

absl::StatusOr<ModelSpec> DeepseekV3(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDeepseek(config));
  spec.family = "deepseek_v3";
  RequireName(config, "scoring_func", "sigmoid");
  RequireName(config, "topk_method", "noaux_tc");
  const Router router{.score = RouterScore::kSigmoid, .choice_bias = true, .groups = 8, .kept_groups = 4, .group_score = GroupScore::kBestTwo, .scale = 2.5};
  ReadExperts(config, {.count = 256, .active = 8, .hidden = 2048, .router = router, .shared_hidden = 1}, 3, spec);
  spec.draft_layers = config.IntOr("num_nextn_predict_layers", 1, {0, 64});
  return spec;
}

}  // namespace drover
