// What can be judged before anything is started: the checkpoint, the plan, the addresses.
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"

namespace drover {

struct ServeOptions;

// Errors name the file, field or flag.
absl::Status CheckBeforeServing(const ServeOptions& options);

// HOST:PORT with a numeric or resolvable host can be listened on now. Port 0 always can.
absl::Status CheckAddress(std::string_view flag, const std::string& address);

}  // namespace drover
