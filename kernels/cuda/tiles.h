// bf16 copies of activations and of weights in any storage form, for products on tensor cores.
#pragma once

#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace drover::cuda {

// The stride of rows in bf16: they begin at multiples of 16 bytes.
inline int64_t RoundedStride(int64_t cols) { return (cols + 7) / 8 * 8; }

// to[t,i] = x[t,i], rounded; 0 for columns from x.cols up to `stride`, a multiple of 8. `to` begins at a multiple of 16 bytes.
void RoundRows(CudaDevice& device, Tensor x, int64_t stride, uint16_t* to);

// to[r,i] = W[first + r, i] for r < rows, in the order of the activations and without the lead; 0 from weight.cols up to `stride`,
// the next multiple of 8. `to` begins at a multiple of 16 bytes.
void OpenRows(CudaDevice& device, const PackedWeight& weight, int64_t first, int64_t rows, int64_t stride, uint16_t* to);

// y[t,r] ← y[t,r] + bias[r] for the columns r < cols of rows of `stride`.
void AddBias(CudaDevice& device, const float* bias, int64_t cols, int64_t tokens, int64_t stride, float* y);

}  // namespace drover::cuda
