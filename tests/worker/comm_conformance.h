// What every communicator must do, as named checks that each rank of a group runs. Results are compared with serial sums.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "worker/comm/communicator.h"

namespace drover {

struct CommCheck {
  std::string name;
  // Runs on every rank at once; an error says what was wrong.
  std::function<absl::Status(Communicator&)> run;
};

// kAny: sums may differ from those in rank order by rounding, but by no bit from rank to rank.
enum class SumOrder { kRanks, kAny };

std::vector<CommCheck> CommChecks(SumOrder order = SumOrder::kRanks);

}  // namespace drover
