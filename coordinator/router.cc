// See router.h.
#include "coordinator/router.h"

namespace drover {

std::optional<std::string> ChooseGroup(const std::vector<GroupLoad>& groups) {
  const GroupLoad* best = nullptr;
  for (const GroupLoad& group : groups) {
    if (!group.ready || group.in_flight >= group.slots) continue;
    // a/b < c/d as a·d < c·b: no rounding.
    if (best == nullptr || group.in_flight * best->slots < best->in_flight * group.slots) best = &group;
  }
  if (best == nullptr) return std::nullopt;
  return best->name;
}

absl::Status Admit(const AdmissionState& state) {
  if (state.draining) return Unavailable("the server is shutting down");
  if (!state.any_ready) return Unavailable("no group of workers is ready");
  if (state.waiting >= state.waiting_max)
    return ResourceExhausted("the queue is full: ", state.waiting, " requests wait, the limit is ", state.waiting_max);
  return absl::OkStatus();
}

}  // namespace drover
