// One group of ranks as a supervised child: a fresh nonce for every start, and the coordinator's word on why it failed.
#pragma once

#include <functional>
#include <string>

#include "cli/launch_line.h"
#include "cli/supervisor.h"

namespace drover {

// Sixteen hexadecimal digits that no other start of a group has.
std::string MakeNonce();

// `base` without nonce. `why` may be empty.
ChildSpec GroupChild(const GroupLaunch& base, std::function<std::string()> why);

}  // namespace drover
