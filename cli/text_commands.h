// `drover tokenize` and `drover render`: JSON lines from standard input to standard output.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddTokenizeCommand(CLI::App& app, const Finish& finish);
void AddRenderCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
