// GGUF architectures: which config a file of each means, key by key, and what its writers do to names and rows. One row each.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/json.h"
#include "models/checkpoint/gguf_header.h"
#include "models/weights.h"

namespace drover {

// A metadata key, behind "ARCHITECTURE.", and the config key of the same meaning; an empty one has no effect on a served model.
struct GgufKey {
  std::string_view gguf, hf;
};

// A module that the files of an architecture name in their own way; tried before the usual name.
struct GgufModule {
  Role role;
  std::string_view module;
};

struct GgufArchitecture {
  std::string_view name;                // general.architecture
  std::string_view hf;                  // the architecture that a config would name
  bool experts = false;                 // has them: two rows may share a name
  std::span<const GgufKey> keys = {};   // its own, before those that all share
  absl::Status (*complete)(const GgufHeader& header, Json& config) = nullptr;  // adds what the file says otherwise than by a key
  std::span<const GgufModule> modules = {};
  bool permuted_heads = false;          // rows of q and k lie in llama.cpp's order
};

// By general.architecture; errors list those that are served.
absl::StatusOr<const GgufArchitecture*> FindGgufArchitecture(const GgufHeader& header);

// The config key of a metadata key behind the architecture's prefix; null: none is known.
const GgufKey* FindGgufKey(const GgufArchitecture& architecture, std::string_view key);

// Values of a header; null or empty when absent or of another type.
const GgufValue* FindValue(const GgufHeader& header, std::string_view key);
const int64_t* FindInt(const GgufHeader& header, std::string_view key);
std::string TextOf(const GgufHeader& header, std::string_view key);
const TensorInfo* TensorNamed(const GgufHeader& header, std::string_view name);

}  // namespace drover
