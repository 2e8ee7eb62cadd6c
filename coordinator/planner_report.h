// A plan as a table for people (at most 80 columns) and as JSON for scripts.
#pragma once

#include <string>

#include "common/json.h"
#include "common/plan.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

std::string PlanTable(const Checkpoint& checkpoint, const GroupPlan& plan);
Json PlanJson(const Checkpoint& checkpoint, const GroupPlan& plan);

// 8.03 B, 1.99 T, 135 M.
std::string FormatCount(int64_t count);

}  // namespace drover
