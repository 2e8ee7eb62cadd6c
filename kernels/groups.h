// Codes with scales beside them: value = (code - zero)·scale. One place for fp8, int4, int8, GPTQ, AWQ, MXFP4 and NF4 in memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/weight.h"

namespace drover {

// The 16 levels of NF4: quantiles of the normal distribution, as bitsandbytes fixes them.
inline constexpr float kNF4Values[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

// Whether codes of this dtype get their values from groups: u4, u8, f8_e4m3, e2m1, nf4.
bool IsCode(DType dtype);

// Writes `code` as column `col` of a row that was all zeros.
void PutNibble(std::byte* row, int64_t col, uint32_t code);

void UnpackGroupedRow(const PackedWeight& weight, int64_t row, std::span<float> values);

float ScaleValue(const std::byte* scales, DType type, int64_t index);

// Which column group each stride of 32 stored columns lies in, padding included; where a stride spans groups (`by_column`), the
// group of each column. Entries that follow each other in one group are a run.
struct GroupIndex {
  struct Run {
    int32_t group = 0, end = 0;  // past its last entry
  };
  bool by_column = false;
  std::vector<Run> runs;

  int64_t entries() const { return runs.empty() ? 0 : runs.back().end; }
};
void IndexGroups(const PackedWeight& weight, GroupIndex& index);

// Scale and, unless `zeros` is null, zero of a row for each entry of the index.
void ExpandGroups(const Groups& groups, const GroupIndex& index, int64_t row, float* scales, float* zeros);

}  // namespace drover
