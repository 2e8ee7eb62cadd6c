// See unpack.h; block layouts are in block_values.cc.
#include "kernels/unpack.h"

#include <cstring>

#include "common/check.h"
#include "kernels/block_values.h"
#include "kernels/groups.h"

namespace drover {
namespace {

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

float PlainF32(const std::byte* row, int64_t c) { return Load<float>(row + c * 4); }
float PlainF16(const std::byte* row, int64_t c) { return HalfToFloat(Load<uint16_t>(row + c * 2)); }
float PlainBF16(const std::byte* row, int64_t c) { return BFloat16ToFloat(Load<uint16_t>(row + c * 2)); }

ReadValue ReaderOf(DType dtype) {
  switch (dtype) {
    case DType::kF32: return PlainF32;
    case DType::kF16: return PlainF16;
    case DType::kBF16: return PlainBF16;
    default: return BlockReader(dtype);
  }
}

}  // namespace

bool IsServed(DType dtype) { return ReaderOf(dtype) != nullptr || IsCode(dtype); }

void UnpackRow(const PackedWeight& weight, int64_t row, std::span<float> values) {
  DROVER_CHECK(row >= 0 && row < weight.rows);
  DROVER_CHECK_EQ(static_cast<int64_t>(values.size()), weight.cols);
  if (weight.grouped()) return UnpackGroupedRow(weight, row, values);
  const ReadValue read = ReaderOf(weight.dtype);
  DROVER_CHECK(read != nullptr);
  for (int64_t c = 0; c < weight.cols; ++c) values[static_cast<size_t>(c)] = read(weight.row(row), weight.lead + c);
}

}  // namespace drover
