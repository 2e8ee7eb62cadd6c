// See tensor_checks.h.
#include "models/checkpoint/tensor_checks.h"

namespace drover {

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (const int64_t size : shape) out += Cat(out.size() > 1 ? ", " : "", size);
  return out + "]";
}

absl::Status CheckDtype(const TensorInfo& tensor, std::span<const DType> served) {
  std::string names;
  for (const DType dtype : served) {
    if (dtype == tensor.dtype) return absl::OkStatus();
    names += Cat(names.empty() ? "" : ", ", Name(dtype));
  }
  return InvalidArgument("tensor ", tensor.name, ": found dtype ", Name(tensor.dtype), ", expected ", served.size() > 1 ? "one of " : "",
                         names);
}

}  // namespace drover
