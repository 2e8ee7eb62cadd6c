// What the subcommands share: how they end, and how they say what went wrong.
#pragma once

#include <functional>
#include <string>

#include "common/status.h"

namespace drover {

// Takes the exit code: 0 done, 1 failed. Bad usage is 2 and never reaches a subcommand.
using Finish = std::function<void(int)>;

inline constexpr int64_t kRanksMax = 256;  // as the coordinator's bound on a group

// Prints one line, "drover: error: ...", unless `status` is OK; returns the exit code.
int Report(const absl::Status& status);

// Line breaks and control characters become spaces, so that an error stays one line.
std::string OneLine(std::string_view text);

}  // namespace drover
