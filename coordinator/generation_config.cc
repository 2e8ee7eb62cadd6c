// See generation_config.h.
#include "coordinator/generation_config.h"

#include <array>

#include "coordinator/json_fields.h"

namespace drover {
namespace {

constexpr std::array kNotApplied = std::to_array<UnservedField>({
    {"bad_words_ids", "[[]]"}, {"begin_suppress_tokens", "[[]]"}, {"diversity_penalty", "[0]"}, {"dola_layers", "[]"},
    {"encoder_no_repeat_ngram_size", "[0]"}, {"encoder_repetition_penalty", "[1]"}, {"epsilon_cutoff", "[0]"},
    {"eta_cutoff", "[0]"}, {"exponential_decay_length_penalty", "[]"}, {"forced_bos_token_id", "[]"},
    {"forced_eos_token_id", "[]"}, {"guidance_scale", "[1]"}, {"min_length", "[0]"}, {"min_new_tokens", "[0]"},
    {"no_repeat_ngram_size", "[0]"}, {"num_beam_groups", "[1]"}, {"num_beams", "[1]"}, {"penalty_alpha", "[0]"},
    {"sequence_bias", "[[], {}]"}, {"stop_strings", "[[]]"}, {"suppress_tokens", "[[]]"}, {"top_h", "[1]"},
    {"typical_p", "[1]"}, {"watermarking_config", "[]"},
});

absl::Status ReadCount(const Json& config, const char* name, std::optional<int64_t>& out) {
  const Json* value = Field(config, name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number_integer() || value->get<double>() < 0 || value->get<double>() > INT32_MAX)
    return InvalidArgument(name, ": found ", value->dump().substr(0, 80), ", expected an integer from 0 to ", INT32_MAX);
  out = value->get<int64_t>();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(const Json& config) {
  if (!config.is_object()) return InvalidArgument("found ", config.type_name(), ", expected an object");
  GenerationDefaults defaults;
  SamplingWish& sampling = defaults.sampling;
  DROVER_RETURN_IF_ERROR(Read(config, "temperature", sampling.temperature));
  DROVER_RETURN_IF_ERROR(Read(config, "top_p", sampling.top_p));
  DROVER_RETURN_IF_ERROR(Read(config, "min_p", sampling.min_p));
  DROVER_RETURN_IF_ERROR(Read(config, "repetition_penalty", sampling.repetition_penalty));
  const Json* top_k = Field(config, "top_k");
  if (top_k != nullptr && *top_k == -1) {
    sampling.top_k = 0;  // both mean off
  } else {
    DROVER_RETURN_IF_ERROR(ReadCount(config, "top_k", sampling.top_k));
  }
  DROVER_RETURN_IF_ERROR(ReadCount(config, "max_new_tokens", defaults.max_tokens));
  if (defaults.max_tokens == 0) return InvalidArgument("max_new_tokens: found 0, expected at least 1");
  bool do_sample = true;
  DROVER_RETURN_IF_ERROR(Read(config, "do_sample", do_sample));
  if (!do_sample) sampling.temperature = 0;
  DROVER_RETURN_IF_ERROR(Validate(ResolveSampling(sampling, {}, 0)));
  for (const UnservedField& field : kNotApplied)
    if (Asks(config, field)) defaults.not_applied.emplace_back(field.name);
  return defaults;
}

}  // namespace drover
