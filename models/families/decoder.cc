// The common decoder: what Llama's config says, shared by the families that differ from it in one or two points.
#include <algorithm>
#include <array>
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr std::array<ActivationName, 11> kActivations = {{
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"swiglu", Activation::kSilu},  // names the gate as well
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"relu", Activation::kRelu},
}};

Attention ReadAttention(ConfigReader& config, int64_t hidden, const DecoderDefaults& defaults) {
  Attention attention;
  attention.heads = config.Int("num_attention_heads", {1, 1 << 16});
  attention.kv_heads = config.IntOr("num_key_value_heads", defaults.kv_heads.value_or(attention.heads), {1, 1 << 16});
  if (attention.heads % attention.kv_heads != 0)
    config.Fail("num_key_value_heads", Cat(attention.kv_heads), Cat("a divisor of num_attention_heads ", attention.heads));
  const std::optional<int64_t> head_dim = config.MaybeInt("head_dim", {1, 1 << 16});
  if (!head_dim && !defaults.head_dim && hidden % attention.heads != 0)
    config.Fail("num_attention_heads", Cat(attention.heads), Cat("a divisor of hidden_size ", hidden, ", or a head_dim"));
  attention.head_dim = head_dim.value_or(defaults.head_dim.value_or(std::max<int64_t>(1, hidden / attention.heads)));
  attention.qkv_bias = attention.out_bias = config.BoolOr("attention_bias", defaults.attention_bias);
  attention.rope = ReadRope(config, attention.head_dim, defaults);
  attention.scale = 1 / std::sqrt(static_cast<double>(attention.head_dim));
  return attention;
}

}  // namespace

Activation ReadActivation(ConfigReader& config, std::string_view key, std::string_view fallback) {
  const std::string name = config.StringOr(key, fallback);
  for (const ActivationName& known : kActivations)
    if (known.name == name) return known.activation;
  config.Fail(key, Cat("\"", name, "\""), "silu, relu, gelu or one of the names of its tanh form");
  return Activation::kSilu;
}

void ReadGptKeys(ConfigReader& config) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"hidden_size", "n_embd"},          {"num_hidden_layers", "n_layer"},   {"num_attention_heads", "n_head"},
      {"max_position_embeddings", "n_positions"}, {"intermediate_size", "n_inner"}, {"hidden_act", "activation_function"},
      {"rms_norm_eps", "layer_norm_epsilon"}};
  for (const auto& [key, spelled] : kNames) config.Alias(key, spelled);
  for (const std::string_view key : {"summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"})
    config.Ignore(key);
}

void MakeUngated(ModelSpec& spec, bool bias) {
  for (LayerKind& kind : spec.kinds) {
    kind.ffn.gated = false;
    kind.ffn.bias = bias;
  }
}

void UseAlibi(ModelSpec& spec, const Alibi& alibi) {
  for (LayerKind& kind : spec.kinds) {
    kind.attention.rope.reset();
    kind.attention.alibi = alibi;
  }
}

absl::StatusOr<ModelSpec> ReadDecoder(ConfigReader& config, const DecoderDefaults& defaults) {
  ModelSpec spec;
  spec.hidden = config.Int("hidden_size", kCount);
  spec.vocab = config.Int("vocab_size", kCount);
  const bool known_length = config.Has("max_position_embeddings") || !defaults.max_positions;
  spec.max_positions = known_length ? config.Int("max_position_embeddings", kPositions) : *defaults.max_positions;
  spec.norm_eps = config.NumberOr("rms_norm_eps", defaults.norm_eps);
  spec.tied_embeddings = config.BoolOr("tie_word_embeddings", defaults.tied);
  LayerKind kind;
  kind.attention = ReadAttention(config, spec.hidden, defaults);
  kind.ffn.activation = ReadActivation(config, "hidden_act", defaults.activation);
  const bool known_width = config.Has("intermediate_size") || !defaults.ffn_times_hidden;
  kind.ffn.hidden = known_width ? config.Int("intermediate_size", kCount) : *defaults.ffn_times_hidden * spec.hidden;
  kind.ffn.bias = config.BoolOr("mlp_bias", false);
  spec.kinds = {kind};
  spec.layer_kind.assign(static_cast<size_t>(config.Int("num_hidden_layers", {1, 4096})), 0);
  for (const int64_t id : config.IntList("eos_token_id", {0, spec.vocab - 1})) spec.end_ids.push_back(static_cast<int32_t>(id));
  if (const auto bos = config.MaybeInt("bos_token_id", {0, spec.vocab - 1})) spec.bos_id = static_cast<int32_t>(*bos);
  // Dynamic NTK has no end of its own: twice what its factor promises is allowed.
  if (const auto& rope = kind.attention.rope; rope->scaling.kind == RopeScalingKind::kDynamic)
    spec.max_positions = static_cast<int64_t>(2 * std::min(rope->scaling.factor, 1e6) * static_cast<double>(std::min<int64_t>(spec.max_positions, 1 << 20)));
  config.RequireFalse("use_mrope");
  config.RequireFalse("rope_interleaved");
  return spec;
}

}  // namespace drover
