// Rounding to bf16 in kernels, nearest even.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

namespace drover::cuda {

// Two values in one word, the first in its low half.
__device__ inline unsigned BF16Pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  unsigned bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}
__device__ inline uint4 BF16Piece(const float* w) {
  return {BF16Pair(w[0], w[1]), BF16Pair(w[2], w[3]), BF16Pair(w[4], w[5]), BF16Pair(w[6], w[7])};
}

}  // namespace drover::cuda
