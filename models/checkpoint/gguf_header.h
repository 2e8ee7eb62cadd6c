// The header of a GGUF file (version 2 and 3): metadata values and the tensor list. Counts, lengths, types, alignment, offsets
// and the file's end are checked before anything is allocated by them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/file.h"
#include "common/status.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

// Integers of all widths become int64 (values above its range are refused), floats become double.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>, std::vector<std::string>>;

struct GgufHeader {
  std::map<std::string, GgufValue> metadata;
  std::vector<TensorInfo> tensors;  // shapes outermost first; offsets absolute in the file
};

struct GgufLimits {
  int64_t header_bytes = 64 << 20;
  int64_t tensors = 200'000;
  int64_t metadata = 10'000;
  int64_t key_bytes = 1024;
  int64_t string_bytes = 4 << 20;
  int64_t array_values = 4 << 20;  // over all arrays of a file
};

// `prefix` is the file's first bytes. kOutOfRange when the header goes on behind them and the file does too: give more.
absl::StatusOr<GgufHeader> ParseGguf(std::string_view prefix, int64_t file_bytes, const GgufLimits& limits = {});

// Reads the header of a file; errors name it.
absl::StatusOr<GgufHeader> ReadGgufHeader(const File& file, const GgufLimits& limits = {});

}  // namespace drover
