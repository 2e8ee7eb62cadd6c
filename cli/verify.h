// `drover verify`: runs a reference's prompts through the serving path and compares; so that anyone can prove a deployment.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/command.h"

namespace drover {

void AddVerifyCommand(CLI::App& app, const Finish& finish);

}  // namespace drover
