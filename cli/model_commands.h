// `drover plan` and `drover inspect`: what can be said about a model without loading it.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddPlanCommand(CLI::App& app, const Finish& finish);
void AddInspectCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
