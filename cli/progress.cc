// See progress.h.
#include "cli/progress.h"

#include <algorithm>
#include <cmath>

#include "common/status.h"

namespace drover {
namespace {

constexpr size_t kBarColumns = 30;

int Percent(double share) { return static_cast<int>(std::floor(100 * std::clamp(share, 0.0, 1.0))); }

}  // namespace

std::string ProgressLine(const v1::GetClusterResponse& cluster, size_t columns) {
  if (cluster.groups().empty()) return "waiting for the ranks";
  const v1::GroupStatus& group = cluster.groups(0);
  if (group.ranks().empty()) return group.state();
  double sum = 0;
  for (const v1::RankStatus& rank : group.ranks()) sum += std::clamp(rank.loaded(), 0.0, 1.0);
  const double share = sum / group.ranks_size();
  const size_t filled = static_cast<size_t>(share * kBarColumns);
  const int percent = Percent(share);
  std::string line = Cat(group.state(), " [", std::string(filled, '#'), std::string(kBarColumns - filled, '.'), "] ",
                         percent < 100 ? " " : "", percent < 10 ? " " : "", percent, " %  ", group.ranks_size(), " ranks:");
  for (const v1::RankStatus& rank : group.ranks()) {
    const std::string next = Cat(" ", Percent(rank.loaded()));
    if (line.size() + next.size() + 4 > columns) return line + " ...";
    line += next;
  }
  return line;
}

}  // namespace drover
