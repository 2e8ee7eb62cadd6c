// `drover bench`: tokens per second of a model on this machine, measured by the worker under the launch line that serves.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddBenchCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
