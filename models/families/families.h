// The families: each describes a config as a ModelSpec, as a difference from its parent. registry.cc is the table of them.
#pragma once

#include "models/config_reader.h"
#include "models/spec.h"

namespace drover {

// What a family assumes where a config is silent.
struct DecoderDefaults {
  double rope_theta = 10000;
  std::optional<int64_t> head_dim;  // else hidden_size / num_attention_heads
};

// A pre-norm decoder with rotary attention and a gated feed-forward, the same in all layers: what Llama is.
absl::StatusOr<ModelSpec> ReadDecoder(ConfigReader& config, const DecoderDefaults& defaults);

// Rotary embedding in the spellings of both library generations; refuses scaling types that are not served.
Rope ReadRope(ConfigReader& config, int64_t head_dim, double default_theta);

// Gives every layer a kind made by `change(layer, kind)` from the layer's present one.
template <class Change>
void ForEachLayer(ModelSpec& spec, Change change) {
  const ModelSpec before = spec;
  spec.kinds.clear();
  for (int64_t i = 0; i < before.layers(); ++i) {
    LayerKind kind = before.layer(i);
    change(i, kind);
    spec.layer_kind[static_cast<size_t>(i)] = KindIndex(spec, kind);
  }
}

absl::StatusOr<ModelSpec> Llama(ConfigReader& config);
absl::StatusOr<ModelSpec> Mistral(ConfigReader& config);
absl::StatusOr<ModelSpec> Mixtral(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen2(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen3(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen3Moe(ConfigReader& config);
absl::StatusOr<ModelSpec> Llama4(ConfigReader& config);
absl::StatusOr<ModelSpec> Llama4WithVision(ConfigReader& config);

// Sliding windows of Qwen: only with use_sliding_window, by layer_types or from max_window_layers on.
void ReadQwenWindows(ConfigReader& config, ModelSpec& spec);

}  // namespace drover
