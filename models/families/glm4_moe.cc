// GLM-4.5 is Llama that rotates half of each head, with biases on q, k and v, an RMS norm on each q and k head in some sizes, and
// DeepSeek-V3's experts.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Glm4Moe(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rotary_share = 0.5, .norm_eps = 1e-5}));
  spec.family = "glm4_moe";
  Attention& attention = spec.kinds[0].attention;
  attention.out_bias = false;
  if (config.BoolOr("use_qk_norm", false)) attention.qk_norm = QkNorm::kEachHead;
  const Router router{.score = RouterScore::kSigmoid, .choice_bias = true, .group_score = GroupScore::kBestTwo};
  ReadExperts(config, {.count = 128, .active = 8, .hidden = 1408, .router = router, .shared_hidden = 1}, 1, spec);
  spec.draft_layers = config.IntOr("num_nextn_predict_layers", 1, {0, 64});
  return spec;
}

}  // namespace drover
