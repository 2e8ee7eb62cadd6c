// Qwen1.5, Qwen2 and Qwen2.5 are Llama with biases on q, k and v, and a sliding window on the upper layers when switched on.
#include "models/families/families.h"

namespace drover {

std::vector<bool> ReadSlidingLayers(ConfigReader& config, int64_t layers) {
  const std::vector<std::string> types = config.StringList("layer_types");
  if (!types.empty() && static_cast<int64_t>(types.size()) != layers) {
    config.Fail("layer_types", Cat("a list of ", types.size()), Cat("one entry for each of ", layers, " layers"));
    return {};
  }
  std::vector<bool> slides;
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention")
      config.Fail("layer_types", Cat("\"", type, "\""), "full_attention or sliding_attention");
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

void ReadQwenWindows(ConfigReader& config, ModelSpec& spec) {
  const bool on = config.BoolOr("use_sliding_window", false);
  const std::optional<int64_t> window = config.MaybeInt("sliding_window", kPositions);
  const int64_t from = config.IntOr("max_window_layers", 28, {0, 1 << 16});
  const std::vector<bool> listed = ReadSlidingLayers(config, spec.layers());
  if (on && !window) config.Fail("sliding_window", "nothing", "a number of tokens, as use_sliding_window is true");
  if (!on) return;
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    const bool slides = listed.empty() ? layer >= from : listed[static_cast<size_t>(layer)];
    if (slides) kind.attention.window = window;
  });
}

absl::StatusOr<ModelSpec> Qwen2(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {}));
  spec.family = "qwen2";
  spec.kinds[0].attention.qkv_bias = true;
  spec.kinds[0].attention.out_bias = false;
  ReadQwenWindows(config, spec);
  return spec;
}

}  // namespace drover
