// gpt-oss is Llama with a learned sink in each head's softmax, a window on every second layer, and experts of clamped pairs with biases
// behind a biased router.
#include "models/families/families.h"

namespace drover {
namespace {

constexpr ModuleName kModules[] = {{Role::kRouter, "mlp.router"}};
constexpr Naming kNaming{.modules = kModules, .experts_input_major = true};

void ReadAttention(ConfigReader& config, ModelSpec& spec) {
  spec.kinds[0].attention.sinks = true;
  if (!config.Has("rope_scaling") && !config.Has("rope_parameters"))
    spec.kinds[0].attention.rope->scaling = {.kind = RopeScalingKind::kYarn, .factor = 32, .truncate = false, .original_positions = 4096};
  const int64_t window = config.IntOr("sliding_window", 128, kPositions);
  const std::vector<bool> listed = ReadSlidingLayers(config, spec.layers());
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    if (listed.empty() ? layer % 2 == 0 : listed[static_cast<size_t>(layer)]) kind.attention.window = window;
  });
}

}  // namespace

absl::StatusOr<ModelSpec> GptOss(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rope_theta = 150000, .head_dim = 64, .norm_eps = 1e-5, .attention_bias = true}));
  spec.family = "gpt_oss";
  spec.naming = &kNaming;
  ReadAttention(config, spec);
  Experts experts;
  experts.count = config.IntOr("num_local_experts", 128, {1, 1 << 16});
  experts.active = config.IntOr("num_experts_per_tok", 4, {1, experts.count});
  experts.hidden = spec.kinds[0].ffn.hidden;
  experts.router.logit_bias = true;  // a softmax over the chosen is that over all, renormalised
  experts.pairs = ClampedPairs{config.NumberOr("swiglu_alpha", 1.702), config.NumberOr("swiglu_limit", 7)};
  config.Ignore("experts_per_token");      // num_experts_per_tok again
  config.Ignore("initial_context_length");  // original_max_position_embeddings again
  for (LayerKind& kind : spec.kinds) {
    kind.ffn.hidden = 0;
    kind.ffn.experts = experts;
  }
  return spec;
}

}  // namespace drover
