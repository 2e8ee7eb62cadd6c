// The header of a safetensors file: 8 bytes of length, then JSON naming every tensor's dtype, shape and byte range. Everything
// is checked before anything is allocated by it; ranges must tile the data exactly (no hole, no overlap, no rest).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/file.h"
#include "common/status.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

struct SafetensorsLimits {
  int64_t header_bytes = 16 << 20;
  int64_t tensors = 200'000;
  int64_t rank = 8;               // dimensions of a tensor
  int64_t name_bytes = 512;
  int64_t metadata_entries = 1000;
  int64_t metadata_bytes = 1 << 20;
};

// `prefix` is the file's first bytes (at least min(file_bytes, 8 + header)); offsets in the result are absolute in the file.
absl::StatusOr<std::vector<TensorInfo>> ParseSafetensors(std::string_view prefix, int64_t file_bytes,
                                                         const SafetensorsLimits& limits = {});

// Reads the header of a file; errors name it.
absl::StatusOr<std::vector<TensorInfo>> ReadSafetensorsHeader(const File& file, const SafetensorsLimits& limits = {});

}  // namespace drover
