// Mistral is Llama with a sliding window on every layer: of 4,096 tokens unless the config says otherwise; null means none.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Mistral(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "mistral";
  const int64_t window = config.IntOr("sliding_window", 4096, kPositions);
  if (!config.IsNull("sliding_window")) spec.kinds[0].attention.window = window;
  return spec;
}

}  // namespace drover
