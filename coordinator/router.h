// Which group serves a request, and whether there is room to wait. Pure: values in, values out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace drover {

struct GroupLoad {
  std::string name;
  bool ready = false;
  int64_t in_flight = 0;  // sent and not ended
  int64_t slots = 0;      // in flight at most
};

// The ready group with the smallest share of its slots in use, the first of equals; nullopt when none has a free slot.
std::optional<std::string> ChooseGroup(const std::vector<GroupLoad>& groups);

struct AdmissionState {
  bool draining = false;
  bool any_ready = false;
  int64_t waiting = 0;
  int64_t waiting_max = 0;
};

// Ok, or at once: kUnavailable (draining, no group ready), kResourceExhausted (the queue is full).
absl::Status Admit(const AdmissionState& state);

}  // namespace drover
