// Room: tensors one after the other in a piece of memory, each at a multiple of 64 bytes from its beginning.
#pragma once

#include <span>

#include "common/check.h"
#include "kernels/tensor.h"

namespace drover {

class Room {
 public:
  explicit Room(std::span<float> floats) : floats_(floats) {}
  // What Take needs for a tensor of this many floats.
  static int64_t Rounded(int64_t floats) { return (floats + 15) / 16 * 16; }

  Tensor Take(int64_t rows, int64_t cols) {
    const auto size = static_cast<size_t>(Rounded(rows * cols));
    DROVER_CHECK_LE(size, floats_.size());
    Tensor tensor{floats_.data(), rows, cols};
    floats_ = floats_.subspan(size);
    return tensor;
  }

 private:
  std::span<float> floats_;
};

}  // namespace drover
