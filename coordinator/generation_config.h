// The sampling that a model's makers recommend, from generation_config.json: the defaults of requests that leave it open.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/status.h"
#include "coordinator/client_request.h"

namespace drover {

struct GenerationDefaults {
  SamplingWish sampling;
  std::optional<int64_t> max_tokens;     // max_new_tokens
  std::vector<std::string> not_applied;  // fields that would change answers and that Drover does not have
};

// do_sample, temperature, top_k, top_p, min_p, repetition_penalty and max_new_tokens. `do_sample: false` makes greedy the
// default whatever the temperature, as in the transformers library; without that field the others count. Errors name the field.
absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(const Json& config);

}  // namespace drover
