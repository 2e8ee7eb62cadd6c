// What the families share: each is a function in a file of its own that describes a config as a ModelSpec, as a difference from its
// parent. registry.cc is the table of them.
#pragma once

#include "models/config_reader.h"
#include "models/naming.h"
#include "models/spec.h"

namespace drover {

using Describe = absl::StatusOr<ModelSpec>(ConfigReader& config);

// Parents of other families.
Describe Falcon, Gemma2, Gemma3, Gpt2, Llama4, Mistral, Mistral4, Qwen3;

// A decoder inside a multi-modal model: `describe` reads text_config; the other parts are named as not served.
absl::StatusOr<ModelSpec> TextPart(ConfigReader& config, Describe* describe);

// What a family assumes where a config is silent.
struct DecoderDefaults {
  double rope_theta = 10000;
  std::optional<int64_t> head_dim = {};         // else hidden_size / num_attention_heads
  std::optional<int64_t> kv_heads = {};         // else num_attention_heads
  std::optional<int64_t> ffn_times_hidden = {}; // width of the feed-forward in hidden sizes; else the config must say it
  std::optional<int64_t> max_positions = {};    // else the config must say it
  std::optional<double> rotary_share = {};      // of a head's dimensions; absent: all, and the config cannot say otherwise
  std::optional<double> original_positions = {};  // of stretched rotary frequencies, where the config itself has none
  double norm_eps = 1e-6;
  bool attention_bias = false;
  std::string_view activation = "silu";
  bool tied = false;
};

// A pre-norm decoder with rotary attention and a gated feed-forward, the same in all layers: what Llama is. Families that spell a
// key in their own way declare it with ConfigReader::Alias before.
absl::StatusOr<ModelSpec> ReadDecoder(ConfigReader& config, const DecoderDefaults& defaults);

// The spelling of GPT-2 and its contemporaries: n_embd, n_layer, n_head, n_positions, n_inner, layer_norm_epsilon and the like.
void ReadGptKeys(ConfigReader& config);

Activation ReadActivation(ConfigReader& config, std::string_view key, std::string_view fallback);

// Turns the gated feed-forward into W↓ act(W_up x), with or without biases.
void MakeUngated(ModelSpec& spec, bool bias);

// Position is a bias on the scores instead of a rotation.
void UseAlibi(ModelSpec& spec, const Alibi& alibi);

struct RopeDefaults {
  int64_t head_dim = 0;
  double theta = 10000;
  std::optional<double> share = {};  // as DecoderDefaults::rotary_share
  std::optional<double> original_positions = {};  // as DecoderDefaults::original_positions
};

// Rotary embedding in the spellings of both library generations; refuses scaling types that are not served.
Rope ReadRope(ConfigReader& config, int64_t head_dim, const DecoderDefaults& defaults);

// The factor on the softmax scale that mscale_all_dim of the rope settings asks for, 1 without it.
double RopeSoftmaxFactor(ConfigReader& config);

// Replaces the attention's heads by latent attention (q_lora_rank, kv_lora_rank, ...); `latent` is taken where the config is silent.
void ReadLatent(ConfigReader& config, const DecoderDefaults& defaults, LatentKv latent, ModelSpec& spec);

// Experts in the spelling that DeepSeek began (n_routed_experts, n_group, ...). What the config leaves out is taken from `defaults`,
// whose shared_hidden counts shared experts. They replace the feed-forward from layer first_k_dense_replace on.
void ReadExperts(ConfigReader& config, Experts defaults, int64_t dense_layers, ModelSpec& spec);

// From an object that holds everything, or null: the defaults. `config` says the context length.
Rope ReadRopeParameters(ConfigReader& config, ConfigReader* parameters, const RopeDefaults& defaults);

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

// Routed layers of Qwen: those with (i + 1) % decoder_sparse_step == 0 that mlp_only_layers leaves out.
void ReadQwenExperts(ConfigReader& config, Experts experts, ModelSpec& spec);

// layer_types of a config whose layers see everything or slide: true for a layer that slides; empty when the config has no list.
std::vector<bool> ReadSlidingLayers(ConfigReader& config, int64_t layers);

// Sliding windows of Qwen: only with use_sliding_window, by layer_types or from max_window_layers on.
void ReadQwenWindows(ConfigReader& config, ModelSpec& spec);

}  // namespace drover
