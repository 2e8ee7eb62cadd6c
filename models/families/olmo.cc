// OLMo is Llama with LayerNorm without weights and a clamp on q, k and v.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Olmo(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.norm_eps = 1e-5}));
  spec.family = "olmo";
  spec.norm = NormKind::kLayerPlain;
  spec.norm_eps = 1e-5;  // whatever the config says
  spec.kinds[0].attention.clip = config.MaybeNumber("clip_qkv");
  return spec;
}

}  // namespace drover
