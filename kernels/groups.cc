// See groups.h.
#include "kernels/groups.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "kernels/block_values.h"

namespace drover {
namespace {

constexpr int64_t kStride = 32;

int Nibble(const std::byte* row, int64_t c) {
  const int byte = std::to_integer<int>(row[c / kStride * 16 + c % 16]);
  return c % kStride < 16 ? byte & 15 : byte >> 4;
}

float Code(const PackedWeight& weight, int64_t row, int64_t c) {
  const std::byte* at = weight.row(row);
  switch (weight.dtype) {
    case DType::kU4: return static_cast<float>(Nibble(at, c));
    case DType::kU8: return static_cast<float>(std::to_integer<int>(at[c]));
    case DType::kF8E4M3: return E4M3ToFloat(std::to_integer<uint8_t>(at[c]));
    case DType::kE2M1: return kE2M1Values[Nibble(at, c)];
    case DType::kNF4: return kNF4Values[Nibble(at, c)];
    default: DROVER_CHECK(false); return 0;
  }
}

int64_t ColumnGroup(const Groups& groups, int64_t c) {
  return groups.column_group.empty() ? (groups.col_offset + c) / groups.cols : groups.column_group[static_cast<size_t>(c)];
}

int64_t RowGroup(const Groups& groups, int64_t row) { return (groups.row_offset + row) / groups.rows; }

float ZeroAt(const Groups& groups, int64_t index) {
  return groups.zeros.size() == 0 ? groups.zero : static_cast<float>(std::to_integer<int>(groups.zeros.data()[index]));
}

}  // namespace

bool IsCode(DType dtype) {
  return dtype == DType::kU4 || dtype == DType::kU8 || dtype == DType::kF8E4M3 || dtype == DType::kE2M1 || dtype == DType::kNF4;
}

void PutNibble(std::byte* row, int64_t col, uint32_t code) {
  row[col / kStride * 16 + col % 16] |= static_cast<std::byte>(col % kStride < 16 ? code : code << 4);
}

float ScaleValue(const std::byte* scales, DType type, int64_t index) {
  const std::byte* at = scales + index * Info(type).bytes;
  if (type == DType::kF32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  if (type == DType::kE8M0) return PowerOfTwo(std::to_integer<uint8_t>(*at));
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return type == DType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
}

void UnpackGroupedRow(const PackedWeight& weight, int64_t row, std::span<float> values) {
  const Groups& groups = weight.groups;
  const int64_t first = RowGroup(groups, row) * groups.across;
  for (int64_t c = 0; c < weight.cols; ++c) {
    const int64_t group = first + ColumnGroup(groups, c);
    const int64_t to = groups.order.empty() ? c : groups.order[static_cast<size_t>(c)];
    values[static_cast<size_t>(to)] =
        (Code(weight, row, c) - ZeroAt(groups, group)) * ScaleValue(groups.scales.data(), groups.scale_type, group);
  }
}

void IndexGroups(const PackedWeight& weight, GroupIndex& index) {
  const int64_t padded = (weight.cols + kStride - 1) / kStride * kStride;
  const auto group_of = [&](int64_t c) { return static_cast<int32_t>(ColumnGroup(weight.groups, std::min(c, weight.cols - 1))); };
  index.by_column = false;
  for (int64_t c = 0; c < padded && !index.by_column; c += kStride) index.by_column = group_of(c) != group_of(c + kStride - 1);
  const int64_t step = index.by_column ? 1 : kStride;
  index.runs.clear();
  for (int64_t c = 0; c < padded; c += step) {
    const int32_t group = group_of(c);
    if (index.runs.empty() || index.runs.back().group != group) index.runs.push_back({group, 0});
    index.runs.back().end = static_cast<int32_t>(c / step + 1);
  }
}

void ExpandGroups(const Groups& groups, const GroupIndex& index, int64_t row, float* scales, float* zeros) {
  const int64_t first = RowGroup(groups, row) * groups.across;
  int32_t entry = 0;
  for (const GroupIndex::Run& run : index.runs) {
    const float scale = ScaleValue(groups.scales.data(), groups.scale_type, first + run.group);
    if (zeros != nullptr) {
      const float zero = ZeroAt(groups, first + run.group);
      for (int32_t i = entry; i < run.end; ++i) zeros[i] = zero;
    }
    for (; entry < run.end; ++entry) scales[entry] = scale;
  }
}

}  // namespace drover
