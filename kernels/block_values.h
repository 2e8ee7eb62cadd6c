// One value of a row of blocks, in plain words: the layouts that GGUF files store.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/dtype.h"

namespace drover {

// Value `col` of a row that begins at `row`; null for a dtype that is no block type.
using ReadValue = float (*)(const std::byte* row, int64_t col);
ReadValue BlockReader(DType dtype);

// Scale and minimum of the 32 values `index` (0 to 7) of a q4_k or q5_k block, from its 12 bytes: 6 bits each.
struct ScaleAndMin {
  int scale, minimum;
};
constexpr ScaleAndMin SixBits(const std::byte* packed, int64_t index) {
  const auto at = [&](int64_t i) { return std::to_integer<int>(packed[i]); };
  if (index < 4) return {at(index) & 63, at(index + 4) & 63};
  return {(at(index + 4) & 15) | at(index - 4) >> 6 << 4, at(index + 4) >> 4 | at(index) >> 6 << 4};
}

// Scale of the 16 values `index` (0 to 15) of a q3_k block, from its 12 bytes: 6 bits, minus 32.
constexpr int SixBitsSigned(const std::byte* packed, int64_t index) {
  const auto at = [&](int64_t i) { return std::to_integer<int>(packed[i]); };
  const int low = index < 8 ? at(index) & 15 : at(index - 8) >> 4;
  const int high = at(8 + index % 4) >> (2 * (index / 4)) & 3;
  return (low | high << 4) - 32;
}

// The 16 values of 4-bit floats with 2 bits of exponent and 1 of mantissa.
inline constexpr float kE2M1Values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};

// 2^(exponent - 127); 255 means not a number.
inline float PowerOfTwo(uint8_t exponent) {
  if (exponent == 255) return __builtin_nanf("");
  return exponent == 0 ? 0x1p-127f : __builtin_bit_cast(float, static_cast<uint32_t>(exponent) << 23);
}

}  // namespace drover
