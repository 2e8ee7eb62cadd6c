// Checks of a communicator's arguments, the same for every implementation. Wrong ones are the caller's bug, answered with an error
// before anything is sent.
#pragma once

#include "worker/comm/communicator.h"

namespace drover {

absl::Status CheckPeer(std::string_view call, int64_t peer, int64_t rank, int64_t size);
// Split: parts must divide size.
absl::Status CheckSplit(int64_t parts, int64_t size);
absl::Status CheckRoot(int64_t root, int64_t size);
// One count per rank, none negative, their sum the length of the buffer.
absl::Status CheckCounts(std::string_view call, std::span<const int64_t> counts, int64_t size, size_t buffer);
absl::Status CheckGather(size_t mine, std::span<const int64_t> counts, int64_t rank, int64_t size, size_t all);

}  // namespace drover
