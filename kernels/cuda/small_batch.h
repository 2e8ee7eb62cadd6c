// Linear of up to 32 tokens in bf16 on tensor cores: weights are read once, in their storage form, for all tokens.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace drover::cuda {

inline constexpr int64_t kSmallTokens = 8, kMediumTokens = 32;

// Activations of at most kMediumTokens tokens; of more than kSmallTokens they are rounded already. Bits do not depend on which.
struct FewTokens {
  Tensor x;
  const uint16_t* rounded = nullptr;  // in rows of `stride`, which begin at multiples of 16 bytes
  int64_t stride = 0;
};

// Linear of each part with W and x rounded to bf16. All weights are of one form, none is empty.
void SmallBatch(CudaDevice& device, std::span<const LinearPart> parts, const FewTokens& x);

// Whether two weights lie alike, so that their rows are multiplied together.
bool CanPair(const PackedWeight& a, const PackedWeight& b);
// See Ops::GatedLinear: as the two by SmallBatch and then their product, the same bits. The weights can be paired.
void SmallGated(CudaDevice& device, GateKind kind, const LinearPart& gate, const LinearPart& up, const FewTokens& x);

}  // namespace drover::cuda
