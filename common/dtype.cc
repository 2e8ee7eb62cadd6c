// See dtype.h.
#include "common/dtype.h"

#include <array>
#include <bit>

#include "common/check.h"

namespace drover {
namespace {

constexpr std::array<DTypeInfo, kDTypes> kTypes = {{
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
    {DType::kE8M0, "f8_e8m0", "F8_E8M0", 1, 1},
    {DType::kQ8_0, "q8_0", "", 32, 34},  // f16 scale, 32 int8
    {DType::kQ4_0, "q4_0", "", 32, 18},  // f16 scale, 32 nibbles minus 8
    {DType::kQ4_1, "q4_1", "", 32, 20},  // f16 scale, f16 minimum, 32 nibbles
    {DType::kQ5_0, "q5_0", "", 32, 22},
    {DType::kQ5_1, "q5_1", "", 32, 24},
    {DType::kQ8_1, "q8_1", "", 32, 36},
    {DType::kQ2_K, "q2_k", "", 256, 84},  // kernels/block_values.cc has the layouts of these
    {DType::kQ3_K, "q3_k", "", 256, 110},
    {DType::kQ4_K, "q4_k", "", 256, 144},
    {DType::kQ5_K, "q5_k", "", 256, 176},
    {DType::kQ6_K, "q6_k", "", 256, 210},
    {DType::kQ8_K, "q8_k", "", 256, 292},
    {DType::kMxfp4, "mxfp4", "", 32, 17},
    {DType::kU4, "u4", "", 32, 16},
    {DType::kE2M1, "e2m1", "", 32, 16},
    {DType::kNF4, "nf4", "", 32, 16},
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

BlockHalves HalvesOf(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0: return {0, -1};
    case DType::kQ8_1:
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K: return {0, 2};
    case DType::kQ2_K: return {80, 82};
    case DType::kQ3_K: return {108, -1};
    case DType::kQ6_K: return {208, -1};
    default: return {};
  }
}

float E4M3ToFloat(uint8_t bits) {
  if ((bits & 0x7f) == 0x7f) return __builtin_nanf("");
  const uint16_t half = static_cast<uint16_t>((bits & 0x80) << 8 | (bits & 0x7f) << 7);  // the same fields; 2^-8 of the value
  return 256 * HalfToFloat(half);
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
