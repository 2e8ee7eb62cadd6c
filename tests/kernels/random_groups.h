// Random weights of codes with scales beside them, for the tests of kernels.
#pragma once

#include <numeric>

#include "kernels/groups.h"
#include "tests/kernels/random_tensors.h"

namespace drover {

struct GroupCase {
  const char* name;
  DType codes;
  int64_t rows, cols;
  int64_t group_rows, group_cols, row_offset = 0, col_offset = 0;
  DType scales = DType::kF32;
  bool zeros = false, ordered = false;
};

inline void FillScales(const GroupCase& c, std::mt19937& engine, Groups& groups) {
  const int64_t count = ((c.row_offset + c.rows - 1) / c.group_rows + 1) * groups.across;
  groups.scales = AlignedBytes(count * Info(c.scales).bytes);
  std::uniform_real_distribution<float> uniform(0.01f, 0.2f);
  for (int64_t i = 0; i < count; ++i) {
    const float value = uniform(engine);
    std::byte* at = groups.scales.data() + i * Info(c.scales).bytes;
    const uint16_t half = FloatToHalf(value), brain = FloatToBFloat16(value);
    if (c.scales == DType::kF32) std::memcpy(at, &value, 4);
    if (c.scales == DType::kF16) std::memcpy(at, &half, 2);
    if (c.scales == DType::kBF16) std::memcpy(at, &brain, 2);
    if (c.scales == DType::kE8M0) *at = static_cast<std::byte>(118 + engine() % 8);
  }
  groups.zero = c.codes == DType::kU4 || c.codes == DType::kU8 ? 8 : 0;
  if (!c.zeros) return;
  groups.zeros = AlignedBytes(count);
  for (int64_t i = 0; i < count; ++i) groups.zeros.data()[i] = static_cast<std::byte>(engine() % 16);
}

inline PackedWeight RandomGroups(const GroupCase& c, uint32_t seed = 11) {
  std::mt19937 engine(seed + RunSeed());
  PackedWeight weight{c.codes, c.rows, c.cols, 0, 0, {}, {}};
  Groups& groups = weight.groups;
  groups = {c.group_rows, c.group_cols, c.row_offset, c.col_offset};
  groups.scale_type = c.scales;
  groups.across = c.ordered ? 4 : (c.col_offset + c.cols - 1) / c.group_cols + 1;
  FillScales(c, engine, groups);
  weight.row_bytes = weight.stored_cols() / Info(c.codes).values * Info(c.codes).bytes;
  weight.bytes = AlignedBytes(c.rows * weight.row_bytes);
  std::memset(weight.bytes.data(), 0, static_cast<size_t>(weight.bytes.size()));
  for (int64_t r = 0; r < c.rows; ++r) {
    for (int64_t i = 0; i < c.cols; ++i) {
      if (Info(c.codes).values > 1) PutNibble(weight.row(r), i, engine() % 16);
      if (Info(c.codes).values == 1) weight.row(r)[i] = static_cast<std::byte>(c.codes == DType::kF8E4M3 ? engine() % 127 | (engine() & 128) : engine());
    }
  }
  if (!c.ordered) return weight;
  groups.order.resize(static_cast<size_t>(c.cols));
  std::iota(groups.order.begin(), groups.order.end(), 0);
  std::shuffle(groups.order.begin(), groups.order.end(), engine);
  for (int64_t i = 0; i < c.cols; ++i) groups.column_group.push_back(static_cast<int32_t>(i * 4 / c.cols));
  return weight;
}

}  // namespace drover
