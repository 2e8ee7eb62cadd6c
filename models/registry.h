// From a Hugging Face config to a ModelSpec, by the architecture it names; or from Mistral's params.json, which names none.
#pragma once

#include <string>
#include <string_view>

#include "common/json.h"
#include "models/spec.h"

namespace drover {

// Errors name key, value and what was expected: an architecture that is not served, a key with an unknown meaning, a value that
// the forward pass does not compute, numbers that contradict each other.
absl::StatusOr<ModelSpec> SpecFromConfig(const Json& config);

// The same from text; bounds of config files: 4 MiB, 32 levels.
absl::StatusOr<ModelSpec> SpecFromConfigText(std::string_view text);

// Names of the served architectures, comma-separated.
std::string ServedArchitectures();

}  // namespace drover
