// See dtype.h.
#include "common/dtype.h"

#include <array>
#include <bit>

#include "common/check.h"

namespace drover {
namespace {

constexpr std::array<DTypeInfo, 15> kTypes = {{
    {DType::kF32, "f32", "F32", 1, 4},
    {DType::kF16, "f16", "F16", 1, 2},
    {DType::kBF16, "bf16", "BF16", 1, 2},
    {DType::kF64, "f64", "F64", 1, 8},
    {DType::kI64, "i64", "I64", 1, 8},
    {DType::kI32, "i32", "I32", 1, 4},
    {DType::kI16, "i16", "I16", 1, 2},
    {DType::kI8, "i8", "I8", 1, 1},
    {DType::kU8, "u8", "U8", 1, 1},
    {DType::kBool, "bool", "BOOL", 1, 1},
    {DType::kF8E4M3, "f8_e4m3", "F8_E4M3", 1, 1},
    {DType::kF8E5M2, "f8_e5m2", "F8_E5M2", 1, 1},
    {DType::kQ8_0, "q8_0", "", 32, 34},  // f16 scale, 32 int8
    {DType::kQ4_0, "q4_0", "", 32, 18},  // f16 scale, 32 nibbles minus 8
    {DType::kQ4_1, "q4_1", "", 32, 20},  // f16 scale, f16 minimum, 32 nibbles
}};

}  // namespace

const DTypeInfo& Info(DType dtype) {
  const DTypeInfo& info = kTypes[static_cast<size_t>(dtype)];
  DROVER_CHECK(info.dtype == dtype);
  return info;
}

std::string_view Name(DType dtype) { return Info(dtype).name; }

std::optional<DType> DTypeFromSafetensors(std::string_view name) {
  for (const DTypeInfo& info : kTypes)
    if (!info.safetensors.empty() && info.safetensors == name) return info.dtype;
  return std::nullopt;
}

absl::StatusOr<int64_t> BytesFor(DType dtype, int64_t values) {
  const DTypeInfo& info = Info(dtype);
  if (values < 0 || values % info.values != 0)
    return InvalidArgument(values, " values are not a whole number of ", info.name, " blocks of ", info.values);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(values / info.values, info.bytes, &bytes))
    return InvalidArgument(values, " values of ", info.name, " overflow a 64-bit size");
  return bytes;
}

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float subnormal = static_cast<float>(mantissa) * 0x1p-24f;
  return sign != 0 ? -subnormal : subnormal;
}

uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // keep NaN a NaN
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to infinity
  if (magnitude < 0x38800000u) {                        // subnormal: add rounds to the nearest multiple of 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

}  // namespace drover
