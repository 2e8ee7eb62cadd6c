// Llama 4 is Llama with interleaved RoPE inside chunks, every fourth layer without positions but with a query temperature, an L2
// norm on q and k, and on some layers a shared expert beside routed ones whose input is scaled by the sigmoid of the router.
#include <algorithm>

#include "models/families/families.h"

namespace drover {
namespace {

constexpr ModuleName kModules[] = {{Role::kGate, "feed_forward.gate_proj"},
                                   {Role::kUp, "feed_forward.up_proj"},
                                   {Role::kDown, "feed_forward.down_proj"},
                                   {Role::kRouter, "feed_forward.router"},
                                   {Role::kExpertGate, "feed_forward.experts.{e}.gate_proj"},
                                   {Role::kExpertUp, "feed_forward.experts.{e}.up_proj"},
                                   {Role::kExpertDown, "feed_forward.experts.{e}.down_proj"},
                                   {Role::kSharedGate, "feed_forward.shared_expert.gate_proj"},
                                   {Role::kSharedUp, "feed_forward.shared_expert.up_proj"},
                                   {Role::kSharedDown, "feed_forward.shared_expert.down_proj"}};
constexpr Naming kNaming{.modules = kModules, .experts_module = "feed_forward.experts", .experts_input_major = true};

void ReadLayerAttention(ConfigReader& config, ModelSpec& spec) {
  const bool l2_norm = config.BoolOr("use_qk_norm", true);
  std::optional<int64_t> chunk = config.IntOr("attention_chunk_size", 8192, kPositions);
  if (config.IsNull("attention_chunk_size")) chunk.reset();
  std::optional<QueryTemperature> temperature;
  const QueryTemperature written{config.NumberOr("attn_scale", 0.1), config.NumberOr("floor_scale", 8192), 1};
  if (config.SwitchOr("attn_temperature_tuning", true)) temperature = written;
  const int64_t interval = config.IntOr("no_rope_layer_interval", 4, {1, 1 << 16});
  const std::vector<int64_t> uses_rope = config.IntList("no_rope_layers", {0, 1});  // 1: the layer uses RoPE
  if (!uses_rope.empty() && static_cast<int64_t>(uses_rope.size()) < spec.layers())
    config.Fail("no_rope_layers", Cat("a list of ", uses_rope.size()), Cat("an entry for each of ", spec.layers(), " layers"));
  const std::vector<std::string> types = config.StringList("layer_types");
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    const auto index = static_cast<size_t>(layer);
    const bool rope = index < uses_rope.size() ? uses_rope[index] == 1 : (layer + 1) % interval != 0;
    const std::string_view type = rope ? "chunked_attention" : "full_attention";
    if (!types.empty() && (index >= types.size() || types[index] != type))
      config.Fail("layer_types", index < types.size() ? types[index] : "too few entries", Cat(type, " on layer ", layer));
    if (rope) {
      kind.attention.rope->pairing = RopePairing::kInterleaved;
      kind.attention.chunk = chunk;
      if (l2_norm) kind.attention.qk_norm = QkNorm::kL2AfterRope;
    } else {
      kind.attention.rope.reset();
      kind.attention.temperature = temperature;
    }
  });
}

void ReadLayerExperts(ConfigReader& config, ModelSpec& spec) {
  Experts experts;
  experts.count = config.IntOr("num_local_experts", 16, {1, 1 << 16});
  experts.active = config.IntOr("num_experts_per_tok", 1, {1, experts.count});
  experts.router = {.score = RouterScore::kSigmoidInput, .renormalise = false};
  experts.hidden = experts.shared_hidden = spec.kinds[0].ffn.hidden;
  const int64_t dense_hidden = config.IntOr("intermediate_size_mlp", 16384, kCount);
  const int64_t step = config.IntOr("interleave_moe_layer_step", 1, {1, 1 << 16});
  const bool listed = config.Has("moe_layers");
  const std::vector<int64_t> layers = config.IntList("moe_layers", {0, 1 << 16});
  ForEachLayer(spec, [&](int64_t layer, LayerKind& kind) {
    const bool routed = listed ? std::find(layers.begin(), layers.end(), layer) != layers.end() : (layer + 1) % step == 0;
    kind.ffn.hidden = routed ? 0 : dense_hidden;
    if (routed) kind.ffn.experts = experts;
  });
}

}  // namespace

absl::StatusOr<ModelSpec> Llama4(ConfigReader& config) {
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, {.rope_theta = 500000, .head_dim = 128}));
  spec.family = "llama4";
  spec.naming = &kNaming;
  ReadLayerAttention(config, spec);
  ReadLayerExperts(config, spec);
  return spec;
}

absl::StatusOr<ModelSpec> Llama4WithVision(ConfigReader& config) { return TextPart(config, Llama4); }

}  // namespace drover
