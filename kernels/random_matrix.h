// Random matrices for benchmarks and tests: every stored value depends on a key, its row and its column alone, so that all cuts of a
// matrix are parts of the same one, and that a device makes the very bits that the host makes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "common/dtype.h"

namespace drover {

// The finaliser of splitmix64: a bijection whose outputs look independent.
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A float of less than 65,504 as a half, rounded to nearest even.
constexpr uint16_t HalfBits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits >> 16 & 0x8000, mantissa = bits & 0x7fffff;
  const int32_t exponent = static_cast<int32_t>(bits >> 23 & 255) - 112;
  if (exponent < -10) return static_cast<uint16_t>(sign);
  const bool normal = exponent > 0;
  const int shift = normal ? 13 : 14 - exponent;
  const uint32_t whole = normal ? mantissa : mantissa | 0x800000, rest = whole & ((1u << shift) - 1), middle = 1u << (shift - 1);
  uint32_t half = (normal ? static_cast<uint32_t>(exponent) << 10 : 0) + (whole >> shift);
  if (rest > middle || (rest == middle && (half & 1) != 0)) ++half;
  return static_cast<uint16_t>(sign | half);
}

// What own rows of a matrix are filled with: f32, f16 and bf16 uniform in [-bound, bound); quantised blocks get random codes under a fixed scale.
struct RandomMatrix {
  uint64_t key = 0;
  int64_t first_row = 0, first_col = 0;  // of the whole matrix, where own row 0 and its first stored column lie
  float bound = 0;
  DType dtype = DType::kF32;             // or f16, bf16, q8_0, q4_0, q4_1
  int32_t block_values = 1, block_bytes = 4;
  uint16_t scale = 0, minimum = 0;       // of every block, as halves

  static constexpr float Uniform(uint64_t row_key, int64_t col) {  // in [-1, 1)
    return static_cast<float>(MixBits(row_key + static_cast<uint64_t>(col)) >> 40) * 0x1p-23f - 1;
  }
  static constexpr void Put16(uint16_t bits, std::byte* out) {
    out[0] = static_cast<std::byte>(bits & 0xff);
    out[1] = static_cast<std::byte>(bits >> 8);
  }

  // Block `block` of own row `row`; blocks of plain types are single values.
  constexpr void Put(int64_t row, int64_t block, std::byte* out) const {
    const uint64_t row_key = MixBits(key + static_cast<uint64_t>(first_row + row));
    const int64_t col = first_col + block * block_values;
    if (block_values > 1) return PutCodes(row_key, col, out);
    const float value = bound * Uniform(row_key, col);
    if (dtype == DType::kF16) return Put16(HalfBits(value), out);
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (dtype == DType::kBF16) return Put16(static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16), out);
    Put16(static_cast<uint16_t>(bits), out);
    Put16(static_cast<uint16_t>(bits >> 16), out + 2);
  }
  constexpr void PutCodes(uint64_t row_key, int64_t col, std::byte* out) const {
    Put16(scale, out);
    if (dtype == DType::kQ8_0) {
      for (int64_t i = 0; i < block_values; ++i) {
        const double code = static_cast<double>(Uniform(row_key, col + i)) * 127;
        out[2 + i] = static_cast<std::byte>(static_cast<int8_t>(code + (code < 0 ? -0.5 : 0.5)));
      }
      return;
    }
    if (dtype == DType::kQ4_1) Put16(minimum, out + 2);
    for (int64_t i = 0; i < block_values / 2; ++i)
      out[(dtype == DType::kQ4_1 ? 4 : 2) + i] = static_cast<std::byte>(MixBits(row_key + static_cast<uint64_t>(col + i)) & 0xff);
  }
};

}  // namespace drover
