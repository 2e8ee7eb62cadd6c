// The common decoder: what Llama's config says, shared by the families that differ from it in one or two points.
#include <array>
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {

struct ActivationName {
  std::string_view name;
  Activation activation;
};
constexpr std::array<ActivationName, 5> kActivations = {{
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
}};

Activation ReadActivation(ConfigReader& config) {
  const std::string name = config.StringOr("hidden_act", "silu");
  for (const ActivationName& known : kActivations)
    if (known.name == name) return known.activation;
  config.Fail("hidden_act", Cat("\"", name, "\""), "silu or gelu_pytorch_tanh");
  return Activation::kSilu;
}

Attention ReadAttention(ConfigReader& config, int64_t hidden, const DecoderDefaults& defaults) {
  Attention attention;
  attention.heads = config.Int("num_attention_heads", {1, 1 << 16});
  attention.kv_heads = config.IntOr("num_key_value_heads", attention.heads, {1, 1 << 16});
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

absl::StatusOr<ModelSpec> ReadDecoder(ConfigReader& config, const DecoderDefaults& defaults) {
  ModelSpec spec;
  spec.hidden = config.Int("hidden_size", kCount);
  spec.vocab = config.Int("vocab_size", kCount);
  spec.max_positions = config.Int("max_position_embeddings", kPositions);
  spec.norm_eps = config.NumberOr("rms_norm_eps", defaults.norm_eps);
  spec.tied_embeddings = config.BoolOr("tie_word_embeddings", false);
  LayerKind kind;
  kind.attention = ReadAttention(config, spec.hidden, defaults);
  kind.ffn.activation = ReadActivation(config);
  kind.ffn.hidden = config.Int("intermediate_size", kCount);
  kind.ffn.bias = config.BoolOr("mlp_bias", false);
  spec.kinds = {kind};
  spec.layer_kind.assign(static_cast<size_t>(config.Int("num_hidden_layers", {1, 4096})), 0);
  for (const int64_t id : config.IntList("eos_token_id", {0, spec.vocab - 1})) spec.end_ids.push_back(static_cast<int32_t>(id));
  if (const auto bos = config.MaybeInt("bos_token_id", {0, spec.vocab - 1})) spec.bos_id = static_cast<int32_t>(*bos);
  config.RequireFalse("use_mrope");
  config.RequireFalse("rope_interleaved");
  return spec;
}

}  // namespace drover
