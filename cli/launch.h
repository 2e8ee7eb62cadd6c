// `drover launch`: one supervised group of ranks that joins a running coordinator.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddLaunchCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
