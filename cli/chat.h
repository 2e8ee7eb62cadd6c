// `drover chat`: talk to a served model over gRPC, or to one that is served for the occasion.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddChatCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
