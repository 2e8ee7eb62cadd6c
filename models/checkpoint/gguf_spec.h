// A GGUF header as a ModelSpec and a Vocabulary. The metadata is rewritten in the words of a Hugging Face config and read by the
// same families, so that both kinds of file mean the same.
#pragma once

#include <optional>

#include "models/checkpoint/gguf_header.h"
#include "models/spec.h"

namespace drover {

// The few numbers that files keep in tensors and that belong to the spec: rope_freqs.weight and rope_factors_{short,long}.weight.
struct RopeVectors {
  std::vector<float> divisors, short_factors, long_factors;
};

// Errors name the metadata key.
absl::StatusOr<ModelSpec> SpecFromGguf(const GgufHeader& header, const RopeVectors& vectors);

// Absent when the file has no tokens.
absl::StatusOr<std::optional<Vocabulary>> VocabularyFromGguf(const GgufHeader& header);

}  // namespace drover
