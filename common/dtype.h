// Element and block formats of stored tensors, with their exact byte arithmetic.
// Sources: safetensors header format; GGUF type table (ggml block layouts).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/status.h"

namespace drover {

enum class DType : uint8_t {
  kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool, kF8E4M3, kF8E5M2, kE8M0,     // element types of safetensors
  kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_1, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kQ8_K, kMxfp4,  // blocks of GGUF files
  kU4, kE2M1, kNF4,  // codes as they lie in memory: byte i of 16 holds values i (low bits) and i + 16; scales lie beside them
};
inline constexpr size_t kDTypes = 29;

// A block holds `values` consecutive values of one row in `bytes` bytes (plain types: 1 value).
struct DTypeInfo {
  DType dtype;
  std::string_view name;         // as printed, e.g. "bf16"
  std::string_view safetensors;  // name in a safetensors header, empty when it cannot occur there
  int64_t values;
  int64_t bytes;
};

const DTypeInfo& Info(DType dtype);
std::optional<DType> DTypeFromSafetensors(std::string_view name);
std::string_view Name(DType dtype);

// Bytes of `values` consecutive values; values must be a whole number of blocks.
absl::StatusOr<int64_t> BytesFor(DType dtype, int64_t values);

// Where a block of a GGUF type holds its f16 scale, and its f16 minimum (or sum) where it has one; -1: nowhere.
struct BlockHalves {
  int64_t scale = -1, minimum = -1;
};
BlockHalves HalvesOf(DType dtype);

// IEEE half, bfloat16 and 8-bit floats (4 bits of exponent, 3 of mantissa, no infinities) to f32, exact.
float E4M3ToFloat(uint8_t bits);
float HalfToFloat(uint16_t bits);
inline float BFloat16ToFloat(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
// Nearest even.
uint16_t FloatToBFloat16(float value);
uint16_t FloatToHalf(float value);

}  // namespace drover
