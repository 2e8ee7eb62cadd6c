// Reading weights whose rows come in turn from two tensors.
#pragma once

#include <vector>

#include "kernels/weight.h"
#include "models/weights.h"
#include "worker/weights/range_reader.h"

namespace drover {

// Fills a matrix that MakePacked made for this part, which holds whole runs. Errors name the tensor.
absl::Status ReadTurns(const Weight& weight, const Source& source, const Part& part, RangeReader& reader, PackedWeight& out);

// The stored bytes of such a vector, in order of its rows.
absl::StatusOr<std::vector<std::byte>> ReadTurnsOfVector(const Source& source, const Part& part, RangeReader& reader);

// What either reads from files.
int64_t TurnsBytesInFile(const Weight& weight, const Source& source, const Part& part);

}  // namespace drover
