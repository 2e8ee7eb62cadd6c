// Rounding to bf16 in kernels, nearest even.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

namespace drover::cuda {

// To bfloat16 and back, nearest even.
__device__ inline float Rounded(float x) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return __uint_as_float(bits | 0x400000u);  // keep NaN a NaN
  return __uint_as_float((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
}
__device__ inline void Store(float x, float* at) { *at = x; }
__device__ inline void Store(float x, uint16_t* at) { *at = static_cast<uint16_t>(__float_as_uint(Rounded(x)) >> 16); }

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
