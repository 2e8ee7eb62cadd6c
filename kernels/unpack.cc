// See unpack.h. Block layouts (32 values): q8_0 = f16 d, int8 q[32], w = d·q; q4_0 = f16 d, nibbles, w = d·(q - 8);
// q4_1 = f16 d, f16 m, nibbles, w = d·q + m. Low nibbles are values 0..15, high nibbles 16..31.
#include "kernels/unpack.h"

#include <cstring>

#include "common/check.h"

namespace drover {
namespace {

constexpr int64_t kBlock = 32;

uint16_t Bits16(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return bits;
}

int Nibble(const std::byte* quants, int64_t i) {
  const int byte = std::to_integer<int>(quants[i % 16]);
  return i < 16 ? byte & 15 : byte >> 4;
}

float PlainF32(const std::byte* row, int64_t c) {
  float value;
  std::memcpy(&value, row + c * 4, sizeof value);
  return value;
}
float PlainF16(const std::byte* row, int64_t c) { return HalfToFloat(Bits16(row + c * 2)); }
float PlainBF16(const std::byte* row, int64_t c) { return BFloat16ToFloat(Bits16(row + c * 2)); }
float Q8_0(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 34;
  return HalfToFloat(Bits16(block)) * static_cast<float>(static_cast<int8_t>(block[2 + c % kBlock]));
}
float Q4_0(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 18;
  return HalfToFloat(Bits16(block)) * static_cast<float>(Nibble(block + 2, c % kBlock) - 8);
}
float Q4_1(const std::byte* row, int64_t c) {
  const std::byte* block = row + c / kBlock * 20;
  const float product = HalfToFloat(Bits16(block)) * static_cast<float>(Nibble(block + 4, c % kBlock));  // exact
  return product + HalfToFloat(Bits16(block + 2));
}

using ReadValue = float (*)(const std::byte* row, int64_t c);
ReadValue ReaderOf(DType dtype) {
  switch (dtype) {
    case DType::kF32: return PlainF32;
    case DType::kF16: return PlainF16;
    case DType::kBF16: return PlainBF16;
    case DType::kQ8_0: return Q8_0;
    case DType::kQ4_0: return Q4_0;
    case DType::kQ4_1: return Q4_1;
    default: return nullptr;
  }
}

}  // namespace

bool IsServed(DType dtype) { return ReaderOf(dtype) != nullptr; }

void UnpackRow(const PackedWeight& weight, int64_t row, std::span<float> values) {
  const ReadValue read = ReaderOf(weight.dtype);
  DROVER_CHECK(read != nullptr);
  DROVER_CHECK(row >= 0 && row < weight.rows);
  DROVER_CHECK_EQ(static_cast<int64_t>(values.size()), weight.cols);
  for (int64_t c = 0; c < weight.cols; ++c) values[static_cast<size_t>(c)] = read(weight.row(row), weight.lead + c);
}

}  // namespace drover
