// See group_child.h.
#include "cli/group_child.h"

#include <random>

namespace drover {

std::string MakeNonce() {
  constexpr char kDigits[] = "0123456789abcdef";
  std::random_device device;
  std::string nonce;
  for (int i = 0; i < 16; ++i) nonce.push_back(kDigits[device() % 16]);
  return nonce;
}

ChildSpec GroupChild(const GroupLaunch& base, std::function<std::string()> why) {
  return {.name = Cat("group ", base.group),
          .command = [base]() -> absl::StatusOr<Command> {
            GroupLaunch launch = base;
            launch.launch = MakeNonce();
            return LaunchLine(launch);
          },
          .restart = {},
          .why = std::move(why)};
}

}  // namespace drover
