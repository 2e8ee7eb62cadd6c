// The decoder of a model that also sees images: its text_config is the decoder's config, the rest is named as not served.
#include "models/families/families.h"

namespace drover {

absl::StatusOr<ModelSpec> TextPart(ConfigReader& config, Describe* describe) {
  for (const std::string_view key : {"boi_token_index", "eoi_token_index", "image_token_index", "image_token_id", "vision_config", "bos_token_id",
                                     "tie_word_embeddings", "mm_tokens_per_image", "multimodal_projector_bias", "projector_hidden_act",
                                     "spatial_merge_size", "vision_feature_layer"})
    config.Ignore(key);
  ConfigReader* text = config.Object("text_config");
  if (text == nullptr) {
    config.Fail("text_config", "nothing", "an object");
    return config.Finish();
  }
  text->Ignore("architectures");
  DROVER_ASSIGN_OR_RETURN(ModelSpec spec, describe(*text));
  const std::vector<int64_t> ends = config.IntList("eos_token_id", {0, spec.vocab - 1});
  if (!ends.empty()) spec.end_ids.assign(ends.begin(), ends.end());  // those of the whole model stand above the decoder's
  spec.not_served = {"vision tower", "multi-modal projector"};
  return spec;
}

}  // namespace drover
