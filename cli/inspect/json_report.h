// An inspection for scripts; docs/inspect.md has the schema.
#pragma once

#include "cli/inspect/inspection.h"
#include "common/json.h"

namespace drover {

Json JsonReport(const Inspection& inspection);

}  // namespace drover
