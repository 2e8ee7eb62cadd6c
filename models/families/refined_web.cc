// RefinedWeb is Falcon under its first names (RefinedWeb, RefinedWebModel), whose configs call the new decoder architecture by its KV groups.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> RefinedWeb(ConfigReader& config) {
  config.Alias("num_hidden_layers", "n_layer");
  config.Alias("num_attention_heads", "n_head");
  config.Alias("num_key_value_heads", "n_head_kv");
  config.Assume("new_decoder_architecture", config.Has("n_head_kv"));
  return Falcon(config);
}

}  // namespace drover
