// OLMo 2 is Llama with norms behind the blocks instead of before them, and a norm over the whole of q and of k.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Olmo2(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.norm_eps = 1e-5}));
  spec.family = "olmo2";
  spec.residual = Residual::kPostNorm;
  spec.kinds[0].attention.qk_norm = QkNorm::kWholeWidth;
  return spec;
}

}  // namespace drover
