// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"

namespace drover {

struct ShardIndex {
  std::map<std::string, std::string> file_of;  // tensor name to shard file name
  std::optional<int64_t> total_bytes;          // metadata.total_size
};

// Shard names are plain file names ending in .safetensors; bounds as for a safetensors header.
absl::StatusOr<ShardIndex> ParseShardIndex(std::string_view text);

}  // namespace drover
