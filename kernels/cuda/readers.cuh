// The storage forms of weights as kernels open them, a piece of 8 columns at a time; unpack.cc, block_values.cc and groups.cc say the
// same in plain words. Sums of products are written as fmaf, so that every kernel opens a weight to the same bits.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/block_values.h"
#include "kernels/groups.h"
#include "kernels/weight.h"

namespace drover::cuda {

inline constexpr int kPiece = 8;

__device__ inline float F16(const std::byte* p) { return __half2float(*reinterpret_cast<const __half*>(p)); }
__device__ inline float BF16(const std::byte* p) {
  return __uint_as_float(static_cast<unsigned>(*reinterpret_cast<const uint16_t*>(p)) << 16);
}
// A half with the same fields is 2^-8 of the value.
__device__ inline float E4M3(unsigned bits) {
  if ((bits & 127) == 127) return __uint_as_float(0x7fc00000u);
  return 256 * __half2float(__ushort_as_half(static_cast<unsigned short>((bits & 128) << 8 | (bits & 127) << 7)));
}
__device__ inline float E8M0(unsigned exponent) {
  if (exponent == 255) return __uint_as_float(0x7fc00000u);
  return exponent == 0 ? __uint_as_float(0x00400000u) : __uint_as_float(exponent << 23);
}
// A float with the same fields is 2^-126 of the value.
__device__ inline float E2M1(unsigned code) { return 0x1p126f * __uint_as_float((code & 8) << 28 | (code & 7) << 22); }
__device__ const float kLevels[16] = {kNF4Values[0],  kNF4Values[1],  kNF4Values[2],  kNF4Values[3], kNF4Values[4],  kNF4Values[5],
                                      kNF4Values[6],  kNF4Values[7],  kNF4Values[8],  kNF4Values[9], kNF4Values[10], kNF4Values[11],
                                      kNF4Values[12], kNF4Values[13], kNF4Values[14], kNF4Values[15]};

// 8 bytes at an address that is a multiple of kAlign.
template <int kAlign>
__device__ inline uint64_t LoadEight(const std::byte* p) {
  if constexpr (kAlign == 8) return *reinterpret_cast<const uint64_t*>(p);
  uint64_t bytes = 0;
  if constexpr (kAlign == 4)
    for (int i = 0; i < 2; ++i) bytes |= uint64_t{reinterpret_cast<const uint32_t*>(p)[i]} << 32 * i;
  if constexpr (kAlign == 2)
    for (int i = 0; i < 4; ++i) bytes |= uint64_t{reinterpret_cast<const uint16_t*>(p)[i]} << 16 * i;
  if constexpr (kAlign == 1)
    for (int i = 0; i < 8; ++i) bytes |= static_cast<uint64_t>(p[i]) << 8 * i;
  return bytes;
}
__device__ inline unsigned ByteOf(uint64_t bytes, int i) { return static_cast<unsigned>(bytes >> 8 * i) & 255; }
__device__ inline float SignedByteOf(uint64_t bytes, int i) { return static_cast<float>(static_cast<int8_t>(ByteOf(bytes, i))); }

// Codes of 4 bits at columns c to c + 7 of strides of 32: 16 bytes, low halves first.
template <int kAlign>
__device__ inline uint64_t LoadNibbles(const std::byte* quants, int64_t c) {
  return LoadEight<kAlign>(quants + c % 16) >> (c % 32 < 16 ? 0 : 4) & 0x0f0f0f0f0f0f0f0full;
}

// kPlain: one value is kBytes, One reads it, and Open needs a row at a multiple of 16 bytes. Else kValues values are a block.
// kCodes: values come from the groups beside them.
template <int kBytesOf, int kValuesOf>
struct Form {
  static constexpr bool kPlain = kValuesOf == 1, kCodes = false;
  static constexpr int kBytes = kBytesOf, kValues = kValuesOf;
  static __device__ const std::byte* Block(const std::byte* row, int64_t c) { return row + c / kValuesOf * kBytesOf; }
};

struct ReadF32 : Form<4, 1> {
  static __device__ float One(const std::byte* row, int64_t c) { return reinterpret_cast<const float*>(row)[c]; }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const float4* at = reinterpret_cast<const float4*>(row + c * 4);
    const float4 a = at[0], b = at[1];
    w[0] = a.x, w[1] = a.y, w[2] = a.z, w[3] = a.w, w[4] = b.x, w[5] = b.y, w[6] = b.z, w[7] = b.w;
  }
};
struct ReadF16 : Form<2, 1> {
  static __device__ float One(const std::byte* row, int64_t c) { return F16(row + c * 2); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint4 bits = *reinterpret_cast<const uint4*>(row + c * 2);
    const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < kPiece; ++i) w[i] = __half2float(__ushort_as_half(static_cast<unsigned short>(pairs[i / 2] >> 16 * (i % 2))));
  }
};
struct ReadBF16 : Form<2, 1> {
  static __device__ float One(const std::byte* row, int64_t c) { return BF16(row + c * 2); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint4 bits = *reinterpret_cast<const uint4*>(row + c * 2);
    const unsigned pairs[4] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < kPiece; ++i) w[i] = __uint_as_float(i % 2 == 0 ? pairs[i / 2] << 16 : pairs[i / 2] & 0xffff0000u);
  }
};

// w = d·q.
template <int kAlign>
__device__ inline void OpenBytes(const std::byte* quants, float d, float* w) {
  const uint64_t bytes = LoadEight<kAlign>(quants);
  for (int i = 0; i < kPiece; ++i) w[i] = d * SignedByteOf(bytes, i);
}
struct ReadQ8_0 : Form<34, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    OpenBytes<2>(block + 2 + c % 32, F16(block), w);
  }
};
struct ReadQ8_1 : Form<36, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    OpenBytes<4>(block + 4 + c % 32, F16(block), w);
  }
};
struct ReadQ4_0 : Form<18, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    const uint64_t q = LoadNibbles<2>(block + 2, c);
    const float d = F16(block);
    for (int i = 0; i < kPiece; ++i) w[i] = d * (static_cast<float>(ByteOf(q, i)) - 8);
  }
};
struct ReadQ4_1 : Form<20, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    const uint64_t q = LoadNibbles<4>(block + 4, c);
    const float d = F16(block), m = F16(block + 2);
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(d, static_cast<float>(ByteOf(q, i)), m);
  }
};

// The code of column c + i: 4 bits, and a fifth from the 32 bits at `high`, which are one of two halves there.
__device__ inline float FiveBits(uint64_t low, const std::byte* high, int64_t c, int i) {
  const unsigned bits = static_cast<unsigned>(high[c % 32 / 8]);
  return static_cast<float>(ByteOf(low, i) | (bits >> i & 1) << 4);
}
struct ReadQ5_0 : Form<22, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    const uint64_t q = LoadNibbles<2>(block + 6, c);
    const float d = F16(block);
    for (int i = 0; i < kPiece; ++i) w[i] = d * (FiveBits(q, block + 2, c, i) - 16);
  }
};
struct ReadQ5_1 : Form<24, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    const uint64_t q = LoadNibbles<8>(block + 8, c);
    const float d = F16(block), m = F16(block + 2);
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(d, FiveBits(q, block + 4, c, i), m);
  }
};
struct ReadMxfp4 : Form<17, 32> {
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const std::byte* block = Block(row, c);
    const uint64_t q = LoadNibbles<1>(block + 1, c);
    const float d = E8M0(static_cast<unsigned>(block[0]));
    for (int i = 0; i < kPiece; ++i) w[i] = d * E2M1(ByteOf(q, i));
  }
};

}  // namespace drover::cuda
