// An inspection for people: labels in a column, at most 80 wide.
#pragma once

#include <string>

#include "cli/inspect/inspection.h"

namespace drover {

std::string TextReport(const Inspection& inspection);

}  // namespace drover
