// Whether a tensor is what a weight expects, and how messages say so.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "models/checkpoint/checkpoint.h"

namespace drover {

// "[3, 4]".
std::string ShapeText(const std::vector<int64_t>& shape);

// kInvalidArgument names the tensor, what was found and what is served.
absl::Status CheckDtype(const TensorInfo& tensor, std::span<const DType> served);

}  // namespace drover
