// Reading packed matrices: codes are turned into the one layout that kernels open, scales and zeros are laid beside them.
#pragma once

#include "kernels/weight.h"
#include "models/weights.h"
#include "worker/weights/range_reader.h"

namespace drover {

// Fills a matrix that MakePacked made for this part. Errors name the tensor: scales that are no positive finite numbers, groups
// that do not exist, a matrix of another shape.
absl::Status ReadPacked(const PackedSource& source, const Part& part, RangeReader& reader, PackedWeight& out);

// What ReadPacked reads from files, apart from shared bytes that `seen` holds; adds those.
int64_t PackedBytesInFile(const PackedSource& source, const Part& part, ByteRanges& seen);

}  // namespace drover
