// The scales inside the blocks of a quantised matrix.
#pragma once

#include "kernels/weight.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {

// A scale that is no number would spread over the whole model without a word. Errors name the tensor.
absl::Status CheckBlockScales(const TensorInfo& tensor, const PackedWeight& matrix);

}  // namespace drover
