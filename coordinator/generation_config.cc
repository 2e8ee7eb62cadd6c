// See generation_config.h.
#include "coordinator/generation_config.h"

#include <algorithm>
#include <array>

namespace drover {
namespace {

// Fields that change what is generated and are not applied, with the values (beside null) that ask for nothing.
struct NotApplied {
  const char* name;
  const char* neutral;  // a JSON array of them
};
constexpr std::array kNotApplied = std::to_array<NotApplied>({
    {"bad_words_ids", "[[]]"}, {"begin_suppress_tokens", "[[]]"}, {"diversity_penalty", "[0]"}, {"dola_layers", "[]"},
    {"encoder_no_repeat_ngram_size", "[0]"}, {"encoder_repetition_penalty", "[1]"}, {"epsilon_cutoff", "[0]"},
    {"eta_cutoff", "[0]"}, {"exponential_decay_length_penalty", "[]"}, {"forced_bos_token_id", "[]"},
    {"forced_eos_token_id", "[]"}, {"guidance_scale", "[1]"}, {"min_length", "[0]"}, {"min_new_tokens", "[0]"},
    {"no_repeat_ngram_size", "[0]"}, {"num_beam_groups", "[1]"}, {"num_beams", "[1]"}, {"penalty_alpha", "[0]"},
    {"sequence_bias", "[[], {}]"}, {"stop_strings", "[[]]"}, {"suppress_tokens", "[[]]"}, {"top_h", "[1]"},
    {"typical_p", "[1]"}, {"watermarking_config", "[]"},
});

std::vector<std::string> FindNotApplied(const Json& config) {
  std::vector<std::string> found;
  for (const NotApplied& field : kNotApplied) {
    const auto value = config.find(field.name);
    if (value == config.end() || value->is_null()) continue;
    const Json neutral = Json::parse(field.neutral);
    if (std::find(neutral.begin(), neutral.end(), *value) == neutral.end()) found.emplace_back(field.name);
  }
  return found;
}

// The member of that name; null counts as absent.
const Json* Given(const Json& config, const char* name) {
  const auto found = config.find(name);
  return found == config.end() || found->is_null() ? nullptr : &*found;
}

absl::Status Read(const Json& config, const char* name, std::optional<double>& out) {
  const Json* value = Given(config, name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number()) return InvalidArgument(name, ": found ", value->type_name(), ", expected a number");
  out = value->get<double>();
  return absl::OkStatus();
}

absl::Status Read(const Json& config, const char* name, std::optional<int64_t>& out) {
  const Json* value = Given(config, name);
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
  const Json* top_k = Given(config, "top_k");
  if (top_k != nullptr && *top_k == -1) {
    sampling.top_k = 0;  // both mean off
  } else {
    DROVER_RETURN_IF_ERROR(Read(config, "top_k", sampling.top_k));
  }
  DROVER_RETURN_IF_ERROR(Read(config, "max_new_tokens", defaults.max_tokens));
  if (defaults.max_tokens == 0) return InvalidArgument("max_new_tokens: found 0, expected at least 1");
  if (const Json* do_sample = Given(config, "do_sample")) {
    if (!do_sample->is_boolean()) return InvalidArgument("do_sample: found ", do_sample->type_name(), ", expected true or false");
    if (!do_sample->get<bool>()) sampling.temperature = 0;
  }
  DROVER_RETURN_IF_ERROR(Validate(ResolveSampling(sampling, {}, 0)));
  defaults.not_applied = FindNotApplied(config);
  return defaults;
}

}  // namespace drover
