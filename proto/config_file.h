// The configuration file: drover.v1.Config as JSON. Its fields stand in for flags of their names, so a value from the file passes
// the same checks as one from the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "common/status.h"
#include "drover/v1/config.pb.h"

namespace drover {

// Reads and parses the file; an unknown field, a wrong type or more than 1 MiB is an error that names the file and the field.
absl::StatusOr<v1::Config> ReadConfigFile(const std::string& path);

// Gives every option of `app` that the command line and the environment left alone the value of its field in `part`, after
// app.parse(). `path` is for errors.
absl::Status ApplyConfig(const google::protobuf::Message& part, const std::string& path, CLI::App& app);

}  // namespace drover
