// Mistral Large 3 is DeepSeek-V3 with a softmax router without a choice bias, and queries that grow with the logarithm of their
// position.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> Mistral4(ConfigReader& config) {
  const auto rotated = static_cast<double>(config.IntOr("qk_rope_head_dim", 64, {1, 1 << 15}));
  const auto still = static_cast<double>(config.IntOr("qk_nope_head_dim", 64, {1, 1 << 15}));
  const DecoderDefaults defaults{.head_dim = 64, .rotary_share = rotated / (rotated + still)};
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, ReadDecoder(config, defaults));
  spec.family = "mistral4";
  ReadLatent(config, defaults, {.q_rank = 1024, .kv_rank = 256, .nope_dim = 64, .value_dim = 128}, spec);
  ConfigReader* rope = config.Object("rope_parameters");
  if (rope == nullptr) {
    config.Fail("rope_parameters", "nothing", "an object");
    return config.Finish();
  }
  rope->Ignore("max_position_embeddings");
  const double floor = rope->NumberOr("original_max_position_embeddings", static_cast<double>(spec.max_positions));
  if (!rope->IsZero("llama_4_scaling_beta"))
    spec.kinds[0].attention.temperature = QueryTemperature{rope->Number("llama_4_scaling_beta"), floor, 0};
  const Router router{.group_score = GroupScore::kBestTwo};
  ReadExperts(config, {.count = 128, .active = 4, .hidden = 2048, .router = router, .shared_hidden = 1}, 0, spec);
  if (const std::string score = config.StringOr("scoring_func", "softmax"); score != "softmax")
    config.Fail("scoring_func", Cat("\"", score, "\""), "softmax");
  return spec;
}

// Mistral Small 3 and its relatives, or Mistral Large 3, beside a vision tower: model_type of the text says which.
absl::StatusOr<ModelSpec> MistralWithVision(ConfigReader& config) {
  const ConfigReader* text = config.Object("text_config");
  return TextPart(config, text != nullptr && text->Has("kv_lora_rank") ? Mistral4 : Mistral);
}

}  // namespace drover
