// The families: each describes a config as a ModelSpec, as a difference from its parent. registry.cc is the table of them.
#pragma once

#include "models/config_reader.h"
#include "models/spec.h"

namespace drover {

// What a family assumes where a config is silent.
struct DecoderDefaults {
  double rope_theta = 10000;
  std::optional<int64_t> head_dim;  // else hidden_size / num_attention_heads
  double norm_eps = 1e-6;
  bool attention_bias = false;
  std::optional<double> partial_rotary;  // the family may rotate a part of the head: this much where the config is silent
};

// A pre-norm decoder with rotary attention and a gated feed-forward, the same in all layers: what Llama is.
absl::StatusOr<ModelSpec> ReadDecoder(ConfigReader& config, const DecoderDefaults& defaults);

// Rotary embedding in the spellings of both library generations; refuses scaling types that are not served.
Rope ReadRope(ConfigReader& config, int64_t head_dim, const DecoderDefaults& defaults);

// The factor on the softmax scale that mscale_all_dim of the rope settings asks for, 1 without it.
double RopeSoftmaxFactor(ConfigReader& config);

// Replaces the attention's heads by latent attention (q_lora_rank, kv_lora_rank, ...); `latent` is taken where the config is silent.
void ReadLatent(ConfigReader& config, const DecoderDefaults& defaults, LatentKv latent, ModelSpec& spec);

// Experts in the spelling that DeepSeek began (n_routed_experts, n_group, ...). What the config leaves out is taken from `defaults`,
// whose shared_hidden counts shared experts. They replace the feed-forward from layer first_k_dense_replace on.
void ReadExperts(ConfigReader& config, Experts defaults, int64_t dense_layers, ModelSpec& spec);

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

// Replaces the feed-forward by experts from layer `dense_layers` on.
void PutExperts(const Experts& experts, int64_t dense_layers, ModelSpec& spec);

absl::StatusOr<ModelSpec> Llama(ConfigReader& config);
absl::StatusOr<ModelSpec> Mistral(ConfigReader& config);
absl::StatusOr<ModelSpec> Mixtral(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen2(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen2Moe(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen3(ConfigReader& config);
absl::StatusOr<ModelSpec> Qwen3Moe(ConfigReader& config);
absl::StatusOr<ModelSpec> Glm4Moe(ConfigReader& config);
absl::StatusOr<ModelSpec> DeepseekV2(ConfigReader& config);
absl::StatusOr<ModelSpec> DeepseekV3(ConfigReader& config);
absl::StatusOr<ModelSpec> MistralNative(ConfigReader& params);
absl::StatusOr<ModelSpec> Mistral4(ConfigReader& config);
absl::StatusOr<ModelSpec> GptOss(ConfigReader& config);
absl::StatusOr<ModelSpec> Llama4(ConfigReader& config);
absl::StatusOr<ModelSpec> Llama4WithVision(ConfigReader& config);

// Routed layers of Qwen: those with (i + 1) % decoder_sparse_step == 0 that mlp_only_layers leaves out.
void ReadQwenExperts(ConfigReader& config, Experts experts, ModelSpec& spec);

// layer_types of a config whose layers see everything or slide: true for a layer that slides; empty when the config has no list.
std::vector<bool> ReadSlidingLayers(ConfigReader& config, int64_t layers);

// Sliding windows of Qwen: only with use_sliding_window, by layer_types or from max_window_layers on.
void ReadQwenWindows(ConfigReader& config, ModelSpec& spec);

}  // namespace drover
