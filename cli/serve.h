// `drover serve`: a coordinator and a supervised group of ranks on this machine, until a stop signal.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "cli/local_cluster.h"

namespace drover {

void AddServeCommand(CLI::App& app, const Finish& finish);

// The options that serve shares with chat and verify: ranks, threads, lengths, memory.
void AddGroupOptions(CLI::App& command, ServeOptions& options);

// A size with a unit (80GiB) as bytes in `bytes`.
void AddMemoryOption(CLI::App& command, int64_t& bytes, const std::string& help);

CLI::Option* AddAttentionOption(CLI::App& command, std::string& attention);

// Waits until the model answers; on a terminal with a progress bar on standard error.
absl::Status WaitReadyWithProgress(LocalCluster& cluster);

}  // namespace drover
