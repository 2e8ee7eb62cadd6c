// A GGUF header as a ModelSpec and a Vocabulary. The metadata is rewritten in the words of a Hugging Face config and read by the
// same families, so that both kinds of file mean the same.
#pragma once

#include <optional>

#include "models/checkpoint/gguf_header.h"
#include "models/spec.h"

namespace drover {

// Errors name the metadata key. `rope_divisors`: values of rope_freqs.weight, empty without that tensor.
absl::StatusOr<ModelSpec> SpecFromGguf(const GgufHeader& header, const std::vector<float>& rope_divisors);

// Rows of q and k lie in llama.cpp's order in files of architecture "llama" (Mixtral too), and only there.
bool HasPermutedHeads(const GgufHeader& header);

// Absent when the file has no tokens.
absl::StatusOr<std::optional<Vocabulary>> VocabularyFromGguf(const GgufHeader& header);

}  // namespace drover
