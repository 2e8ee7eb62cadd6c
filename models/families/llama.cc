// Llama 1, 2, 3, 3.1 and everything that shares its architecture name (Yi, SmolLM2, Amber): the common decoder itself.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Llama(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "llama";
  return spec;
}

}  // namespace drover
