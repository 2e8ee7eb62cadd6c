// Element and block formats of stored tensors, with their exact byte arithmetic.
// Sources: safetensors header format; GGUF type table (ggml block layouts).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/status.h"

namespace drover {

enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool, kF8E4M3, kF8E5M2, kQ8_0, kQ4_0, kQ4_1 };

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

// IEEE half and bfloat16 to f32, exact.
float HalfToFloat(uint16_t bits);
inline float BFloat16ToFloat(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
// Nearest even.
uint16_t FloatToBFloat16(float value);
uint16_t FloatToHalf(float value);

}  // namespace drover
