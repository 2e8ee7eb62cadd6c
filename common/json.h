// JSON from files and sockets, parsed under limits before anything is built from it. Duplicate keys, invalid UTF-8, NaN and
// trailing bytes are errors; member order is kept (chat templates print it).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "common/status.h"

namespace drover {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  int64_t bytes = 4 << 20;      // of the text
  int64_t depth = 32;           // nested arrays and objects
  int64_t elements = 100'000;   // values in all
};

// Errors: kInvalidArgument with the byte offset and what was expected; kResourceExhausted past a limit.
absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

// Reads a whole file of at most limits.bytes and parses it; errors name the file.
absl::StatusOr<Json> ReadJsonFile(const std::string& path, const JsonLimits& limits);

}  // namespace drover
