// What Drover would not do with a model it serves, as its own readers and ignore-lists say it.
#pragma once

#include <string>
#include <vector>

#include "common/json.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

// `config` is the file's object, null where there is none; `not_applied` names fields of generation_config.json.
std::vector<std::string> LeftOut(const Checkpoint& checkpoint, const Json& config, const std::vector<std::string>& not_applied);

}  // namespace drover
