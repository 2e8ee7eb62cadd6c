// See weight.h.
#include "kernels/weight.h"

#include <cstdlib>

#include "common/check.h"

namespace drover {
namespace {
void FreeHost(std::byte* p) { std::free(p); }
}  // namespace

AlignedBytes::AlignedBytes(int64_t size) : size_(size) {
  DROVER_CHECK_LE(0, size);
  const int64_t rounded = (size + kReadableAfterEnd + kAlignment - 1) / kAlignment * kAlignment;
  bytes_ = {static_cast<std::byte*>(std::aligned_alloc(kAlignment, static_cast<size_t>(rounded))), FreeHost};
  DROVER_CHECK(bytes_ != nullptr);
}

int64_t PackedWeight::stored_cols() const {
  constexpr int64_t kPadded = 32;  // rows of grouped codes hold whole strides
  const int64_t block = grouped() ? kPadded : Info(dtype).values;
  return (lead + cols + block - 1) / block * block;
}

}  // namespace drover
