// Granite is Llama with multipliers: of the embedding, of what each block adds to the stream, of the scores, and a divisor of logits.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Granite(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "granite";
  spec.embedding_scale = config.NumberOr("embedding_multiplier", 1);
  spec.residual_scale = config.NumberOr("residual_multiplier", 1);
  spec.logit_divisor = config.NumberOr("logits_scaling", 1);
  spec.kinds[0].attention.scale = config.NumberOr("attention_multiplier", 1);
  return spec;
}

}  // namespace drover
