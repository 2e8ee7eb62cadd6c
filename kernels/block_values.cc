// See block_values.h. d, m: f16 scale and minimum; q: codes. Blocks of 32 hold d (and m) first; low nibbles are values 0..15, high
// nibbles 16..31. Blocks of 256 ("K") hold 16 groups of 16 or 8 groups of 32, each with a small integer scale of its own.
#include "kernels/block_values.h"

#include <array>
#include <cstring>

namespace drover {
namespace {

constexpr int64_t kBlock = 32, kSuper = 256;

int At(const std::byte* bytes, int64_t i) { return std::to_integer<int>(bytes[i]); }

float F16(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return HalfToFloat(bits);
}

float Times(float d, int q) { return d * static_cast<float>(q); }

int Nibble(const std::byte* quants, int64_t i) { return i < 16 ? At(quants, i) & 15 : At(quants, i - 16) >> 4; }

// Bit i of 32.
int HighBit(const std::byte* bits, int64_t i) { return At(bits, i / 8) >> (i % 8) & 1; }

float Q8_0(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 34;
  return Times(F16(block), static_cast<int8_t>(block[2 + c % kBlock]));
}
float Q8_1(const std::byte* row, int64_t c) {  // f16 d, f16 sum of the values, int8 q[32]
  const std::byte* block = row + c / kBlock * 36;
  return Times(F16(block), static_cast<int8_t>(block[4 + c % kBlock]));
}
float Q4_0(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 18;
  return Times(F16(block), Nibble(block + 2, c % kBlock) - 8);
}
float Q4_1(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 20;
  return Times(F16(block), Nibble(block + 4, c % kBlock)) + F16(block + 2);
}
float Q5_0(const std::byte* row, int64_t c) {  // d, 32 high bits, nibbles
  const std::byte* block = row + c / kBlock * 22;
  return Times(F16(block), (Nibble(block + 6, c % kBlock) | HighBit(block + 2, c % kBlock) << 4) - 16);
}
float Q5_1(const std::byte* row, int64_t c) {  // d, m, 32 high bits, nibbles
  const std::byte* block = row + c / kBlock * 24;
  return Times(F16(block), Nibble(block + 8, c % kBlock) | HighBit(block + 4, c % kBlock) << 4) + F16(block + 2);
}
float Mxfp4(const std::byte* row, int64_t c) {  // exponent, nibbles of 4-bit floats
  const std::byte* block = row + c / kBlock * 17;
  return PowerOfTwo(std::to_integer<uint8_t>(block[0])) * kE2M1Values[Nibble(block + 1, c % kBlock)];
}

// scales[16] (low nibble: scale, high: minimum), q[64] of 2 bits, d, m. Byte l of half n holds values 128n + 32j + l at bits 2j.
float Q2_K(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kSuper * 84;
  c %= kSuper;
  const int q = At(block, 16 + c / 128 * 32 + c % 32) >> (c % 128 / 32 * 2) & 3, scales = At(block, c / 16);
  return Times(Times(F16(block + 80), scales & 15), q) - Times(F16(block + 82), scales >> 4);
}
// h[32], q[64] of 2 bits as q2_k, 12 bytes of scales, d. Bit c/32 of h[c % 32] clear means minus 4.
float Q3_K(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kSuper * 110;
  c %= kSuper;
  const int low = At(block, 32 + c / 128 * 32 + c % 32) >> (c % 128 / 32 * 2) & 3;
  const int q = low - ((At(block, c % 32) >> (c / 32) & 1) == 0 ? 4 : 0);
  return Times(Times(F16(block + 108), SixBitsSigned(block + 96, c / 16)), q);
}
// d, m, 12 bytes of scales and minima, q[128]. Byte l of quarter n holds values 64n + l (low) and 64n + 32 + l (high).
float Q4_K(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kSuper * 144;
  c %= kSuper;
  const ScaleAndMin s = SixBits(block + 4, c / 32);
  const int q = At(block, 16 + c / 64 * 32 + c % 32) >> (c % 64 / 32 * 4) & 15;
  return Times(Times(F16(block), s.scale), q) - Times(F16(block + 2), s.minimum);
}
// As q4_k with h[32] before q: bit c/32 of h[c % 32] is the fifth bit.
float Q5_K(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kSuper * 176;
  c %= kSuper;
  const ScaleAndMin s = SixBits(block + 4, c / 32);
  const int low = At(block, 48 + c / 64 * 32 + c % 32) >> (c % 64 / 32 * 4) & 15, high = At(block, 16 + c % 32) >> (c / 32) & 1;
  return Times(Times(F16(block), s.scale), low | high << 4) - Times(F16(block + 2), s.minimum);
}
// q[128] (low 4 bits), h[64] (high 2 bits), int8 scales[16], d; codes minus 32. In half n, value 32r + l has its low bits in
// q[64n + 32(r % 2) + l] (r < 2: low nibble) and its high bits in h[32n + l] at 2r.
float Q6_K(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kSuper * 210;
  c %= kSuper;
  const int64_t half = c / 128, r = c % 128 / 32, l = c % 32;
  const int low = At(block, half * 64 + r % 2 * 32 + l) >> (r / 2 * 4) & 15, high = At(block, 128 + half * 32 + l) >> (2 * r) & 3;
  const float d = Times(F16(block + 208), static_cast<int8_t>(block[192 + c / 16]));
  return Times(d, (low | high << 4) - 32);
}
float Q8_K(const std::byte* row, int64_t c) {  // f32 d, int8 q[256], int16 sums[16]
  const std::byte* block = row + c / kSuper * 292;
  float d;
  std::memcpy(&d, block, sizeof d);
  return Times(d, static_cast<int8_t>(block[4 + c % kSuper]));
}

struct Row {
  DType dtype;
  ReadValue read;
};
constexpr std::array<Row, 13> kReaders = {{{DType::kQ8_0, Q8_0}, {DType::kQ8_1, Q8_1}, {DType::kQ4_0, Q4_0}, {DType::kQ4_1, Q4_1},
                                           {DType::kQ5_0, Q5_0}, {DType::kQ5_1, Q5_1}, {DType::kQ2_K, Q2_K}, {DType::kQ3_K, Q3_K},
                                           {DType::kQ4_K, Q4_K}, {DType::kQ5_K, Q5_K}, {DType::kQ6_K, Q6_K}, {DType::kQ8_K, Q8_K},
                                           {DType::kMxfp4, Mxfp4}}};

}  // namespace

ReadValue BlockReader(DType dtype) {
  for (const Row& row : kReaders)
    if (row.dtype == dtype) return row.read;
  return nullptr;
}

}  // namespace drover
