// Mistral is Llama with an optional sliding window on every layer.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Mistral(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "mistral";
  spec.kinds[0].attention.window = config.MaybeInt("sliding_window", kPositions);
  return spec;
}

}  // namespace drover
