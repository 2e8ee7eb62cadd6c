// The two kinds of checkpoint that OpenCheckpoint knows.
#pragma once

#include "models/checkpoint/checkpoint.h"

namespace drover {

// A directory with config.json or params.json; without weight files the result is kConfigOnly.
absl::StatusOr<Checkpoint> OpenHfDirectory(const std::string& directory);

// One .gguf file.
absl::StatusOr<Checkpoint> OpenGgufFile(const std::string& path);

}  // namespace drover
