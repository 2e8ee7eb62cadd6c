// Linear of up to 32 tokens in bf16 on tensor cores: weights are read once, in their storage form, for all tokens.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace drover::cuda {

inline constexpr int64_t kSmallTokens = 8, kMediumTokens = 32;

// Linear of each part with W and x rounded to bf16; at most kSmallTokens tokens. No weight is empty, and all lie alike: see LinearTasks,
// which tells how many it takes.
void SmallBatch(CudaDevice& device, std::span<const LinearPart> parts, Tensor x);

// Ops::GatedLinear of two that lie alike: the sums of SmallBatch and their product.
void SmallGated(CudaDevice& device, GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x);

// The same bits for each token as SmallBatch, from x that is rounded already, in rows of `stride`, which begin at multiples of 16 bytes;
// at most kMediumTokens tokens.
void MediumBatch(CudaDevice& device, std::span<const LinearPart> parts, const uint16_t* x, int64_t stride);

}  // namespace drover::cuda
