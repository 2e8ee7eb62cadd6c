// Tensor: a dense row-major matrix of f32 activations. A value that points at memory owned by the step's arena or by a caller.
#pragma once

#include <cstdint>
#include <span>

namespace drover {

struct Tensor {
  float* data = nullptr;
  int64_t rows = 0, cols = 0;

  int64_t size() const { return rows * cols; }
  std::span<float> row(int64_t r) const { return {data + r * cols, static_cast<size_t>(cols)}; }
  std::span<float> all() const { return {data, static_cast<size_t>(size())}; }
};

}  // namespace drover
