// Gemma 3's text model is Gemma 2 without a cap on the scores, with a norm on each q and k head, five sliding layers to a full one,
// and a RoPE base for each of the two. The reference reads attn_logit_softcapping and does not use it.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Gemma3(ConfigReader& config) {
  config.Assume("vocab_size", 262208);
  config.Assume("num_attention_heads", 8);
  config.Assume("max_position_embeddings", 131072);
  const int64_t pattern = config.IntOr("sliding_window_pattern", 6, {1, 1 << 16});
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, Gemma2(config));
  spec.family = "gemma3";
  spec.logit_softcap = config.MaybeNumber("final_logit_softcapping");
  const int64_t window = config.IntOr("sliding_window", 4096, kPositions);
  ConfigReader* parameters = config.Object("rope_parameters");
  const bool nested = parameters != nullptr && (parameters->Has("full_attention") || parameters->Has("sliding_attention"));
  ConfigReader* full = nested ? parameters->Object("full_attention") : config.Object("rope_scaling");
  ConfigReader* sliding = nested ? parameters->Object("sliding_attention") : nullptr;
  const int64_t head_dim = spec.kinds[0].attention.head_dim;
  const Rope global = ReadRopeParameters(config, full, {head_dim, config.NumberOr("rope_theta", 1e6), std::nullopt});
  config.Alias("rope_theta", "rope_local_base_freq");
  const Rope local = ReadRopeParameters(config, sliding, {head_dim, config.NumberOr("rope_local_base_freq", 1e4), std::nullopt});
  const std::vector<bool> listed = ReadSlidingLayers(config, spec.layers());
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    const bool slide = listed.empty() ? (layer + 1) % pattern != 0 : listed[static_cast<size_t>(layer)];
    kind.attention.qk_norm = QkNorm::kEachHead;
    kind.attention.softcap.reset();
    kind.attention.window.reset();
    if (slide) kind.attention.window = window;
    kind.attention.rope = slide ? local : global;
  });
  return spec;
}

absl::StatusOr<ModelSpec> Gemma3WithVision(ConfigReader& config) { return TextPart(config, Gemma3); }

}  // namespace drover
