// Linear of up to 32 tokens in bf16 on tensor cores: the weight is read once, in its storage form, for all tokens.
#pragma once

#include <cstdint>

#include "kernels/cuda/device.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace drover::cuda {

inline constexpr int64_t kSmallTokens = 8, kMediumTokens = 32;

// y[t,r] = Σ_c W[r,c]·x[t,c] + bias[r] with W and x rounded to bf16; at most kSmallTokens tokens. bias may be null.
void SmallBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, Tensor x, Tensor y);

// The same bits for each token from x that is rounded already, in rows of `stride`, which begin at multiples of 16 bytes; at most
// kMediumTokens tokens.
void MediumBatch(CudaDevice& device, const PackedWeight& weight, const float* bias, const uint16_t* x, int64_t stride, Tensor y);

}  // namespace drover::cuda
