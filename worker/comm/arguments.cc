// See arguments.h.
#include "worker/comm/arguments.h"

namespace drover {

absl::Status CheckPeer(std::string_view call, int64_t peer, int64_t rank, int64_t size) {
  if (peer >= 0 && peer < size && peer != rank) return absl::OkStatus();
  return InvalidArgument(call, ": found peer ", peer, ", expected another rank below ", size);
}

absl::Status CheckSplit(int64_t parts, int64_t size) {
  if (parts >= 1 && size % parts == 0) return absl::OkStatus();
  return InvalidArgument("Split: found ", parts, " parts, expected a divisor of ", size, " ranks");
}

absl::Status CheckRoot(int64_t root, int64_t size) {
  if (root >= 0 && root < size) return absl::OkStatus();
  return InvalidArgument("Broadcast: found root ", root, ", expected a rank below ", size);
}

absl::Status CheckCounts(std::string_view call, std::span<const int64_t> counts, int64_t size, size_t buffer) {
  if (static_cast<int64_t>(counts.size()) != size)
    return InvalidArgument(call, ": found ", counts.size(), " counts, expected one for each of ", size, " ranks");
  int64_t sum = 0;
  for (const int64_t count : counts) {
    if (count < 0) return InvalidArgument(call, ": found a count of ", count, ", expected none below 0");
    sum += count;
  }
  if (sum != static_cast<int64_t>(buffer))
    return InvalidArgument(call, ": counts sum to ", sum, ", expected the buffer's ", buffer);
  return absl::OkStatus();
}

absl::Status CheckGather(size_t mine, std::span<const int64_t> counts, int64_t rank, int64_t size, size_t all) {
  DROVER_RETURN_IF_ERROR(CheckCounts("AllGather", counts, size, all));
  const int64_t own = counts[static_cast<size_t>(rank)];
  if (own == static_cast<int64_t>(mine)) return absl::OkStatus();
  return InvalidArgument("AllGather: own part holds ", mine, " floats, its count says ", own);
}

}  // namespace drover
