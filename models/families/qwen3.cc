// Qwen3 is Llama with an RMS norm on each q and k head before RoPE, an explicit head size, and Qwen2's windows.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Qwen3(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.head_dim = 128}));
  spec.family = "qwen3";
  spec.kinds[0].attention.qk_norm = QkNorm::kEachHead;
  ReadQwenWindows(config, spec);
  return spec;
}

}  // namespace drover
