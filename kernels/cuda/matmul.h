// Matmul: dense products on tensor cores: bf16 times bf16, sums and results in f32.
#pragma once

#include <cstdint>
#include <memory>

#include "common/status.h"
#include "kernels/cuda/device.h"

namespace drover {

// y[t,r] = Σ_k w[r,k]·x[t,k] + bias[r]. Strides are in values, between rows. w and x begin at multiples of 16 bytes, and so do all
// of their rows; so does the bias, which may be null. depth is a multiple of 8.
struct MatmulTask {
  const uint16_t* w = nullptr;  // bf16 [rows, depth]
  const uint16_t* x = nullptr;  // bf16 [tokens, depth]
  const float* bias = nullptr;
  float* y = nullptr;
  int64_t rows = 0, tokens = 0, depth = 0;
  int64_t w_stride = 0, x_stride = 0, y_stride = 0;
};

class Matmul {
 public:
  virtual ~Matmul() = default;
  // False: the library has no way for this task, and y is as it was or half written. Other failures are kept by the device.
  // Nothing is allocated; the way for a shape is looked for at its first use and kept.
  virtual bool Run(const MatmulTask& task) = 0;
};

// Over cuBLASLt. kUnimplemented where the build has none; kResourceExhausted without room for its workspace.
absl::StatusOr<std::unique_ptr<Matmul>> MakeMatmul(CudaDevice& device, CudaMemory& memory);

}  // namespace drover
