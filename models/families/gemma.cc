// Gemma is Llama with norms that multiply by 1 + weight, an embedding times √hidden, tied matrices and a GELU gate in its tanh form,
// which the first files call "gelu".
#include <cmath>

#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Gemma(ConfigReader& config) {
  config.Ignore("hidden_activation");
  config.RequireFalse("use_bidirectional_attention");
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.head_dim = 256, .kv_heads = 16, .activation = "gelu_pytorch_tanh", .tied = true}));
  spec.family = "gemma";
  spec.norm = NormKind::kRmsPlusOne;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden));
  if (spec.kinds[0].ffn.activation == Activation::kGelu) spec.kinds[0].ffn.activation = Activation::kGeluTanh;
  return spec;
}

}  // namespace drover
