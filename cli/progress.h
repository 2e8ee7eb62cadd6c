// How loading looks on a terminal: one line, redrawn. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "drover/v1/api.pb.h"

namespace drover {

// "loading [#####.....]  50 %  2 ranks: 62 38": bar of the mean share, then each rank's per cent while they fit in `columns`.
std::string ProgressLine(const v1::GetClusterResponse& cluster, size_t columns);

}  // namespace drover
