// WeightView: a PackedWeight as kernels see it, the codes that need groups, and the one table from dtype to reader.
#pragma once

#include <algorithm>
#include <bit>
#include <limits>

#include "common/check.h"
#include "kernels/cuda/super_readers.cuh"

namespace drover::cuda {

struct WeightView {
  const std::byte* codes = nullptr;
  int64_t row_bytes = 0;
  int32_t first = 0, end = 0;  // stored columns that count
  bool wide = false;           // rows begin at multiples of 16 bytes
  // Groups: see Groups. order and column_group may be null.
  const std::byte *scales = nullptr, *zeros = nullptr;
  DType scale_type = DType::kF32;
  float zero = 0;
  int32_t group_rows = 1, group_cols = 1, row_offset = 0, col_offset = 0, across = 0;
  int32_t row_shift = 0, col_shift = 0;  // group_rows and group_cols are 2 to these; below 0: they are no powers of two
  const int32_t *order = nullptr, *column_group = nullptr;

  // Where stored column c meets the activations.
  __device__ int64_t Meets(int64_t c) const { return order == nullptr ? c - first : order[c]; }
  __device__ bool Has(int64_t c) const { return c >= first && c < end; }
  // The first group of a row; which one across it column c is of, where they lie in order.
  __device__ int64_t FirstGroup(int64_t row) const {
    const int32_t all = row_offset + static_cast<int32_t>(row);
    return int64_t{row_shift >= 0 ? all >> row_shift : all / group_rows} * across;
  }
  __device__ int32_t GroupAt(int32_t c) const { return col_shift >= 0 ? (col_offset + c) >> col_shift : (col_offset + c) / group_cols; }
  __device__ bool Whole(int64_t c, int64_t columns = kPiece) const { return c >= first && c + columns <= end; }
};

struct ReadU4 : Form<16, 32> {
  static constexpr bool kCodes = true;
  static __device__ float Value(unsigned code) { return ToFloat(code); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint64_t q = LoadNibbles<8>(Block(row, c), c);
    for (int i = 0; i < kPiece; ++i) w[i] = Value(ByteOf(q, i));
  }
};
struct ReadU8 : Form<32, 32> {
  static constexpr bool kCodes = true;
  static __device__ float Value(unsigned code) { return ToFloat(code); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint64_t q = LoadEight<8>(row + c);
    for (int i = 0; i < kPiece; ++i) w[i] = Value(ByteOf(q, i));
  }
};
struct ReadF8 : Form<32, 32> {
  static constexpr bool kCodes = true;
  static __device__ float Value(unsigned code) { return E4M3(code); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint64_t q = LoadEight<8>(row + c);
    for (int i = 0; i < kPiece; ++i) w[i] = Value(ByteOf(q, i));
  }
};
struct ReadE2M1 : Form<16, 32> {
  static constexpr bool kCodes = true;
  static __device__ float Value(unsigned code) { return E2M1(code); }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint64_t q = LoadNibbles<8>(Block(row, c), c);
    for (int i = 0; i < kPiece; ++i) w[i] = Value(ByteOf(q, i));
  }
};
struct ReadNF4 : Form<16, 32> {
  static constexpr bool kCodes = true;
  static __device__ float Value(unsigned code) { return kLevels[code]; }
  static __device__ void Open(const std::byte* row, int64_t c, float* w) {
    const uint64_t q = LoadNibbles<8>(Block(row, c), c);
    for (int i = 0; i < kPiece; ++i) w[i] = Value(ByteOf(q, i));
  }
};

__device__ inline float ScaleOf(const WeightView& view, int64_t group) {
  if (view.scale_type == DType::kF32) return reinterpret_cast<const float*>(view.scales)[group];
  if (view.scale_type == DType::kF16) return F16(view.scales + 2 * group);
  if (view.scale_type == DType::kBF16) return BF16(view.scales + 2 * group);
  return E8M0(static_cast<unsigned>(view.scales[group]));
}
__device__ inline float ZeroOf(const WeightView& view, int64_t group) {
  return view.zeros == nullptr ? view.zero : ToFloat(static_cast<unsigned>(view.zeros[group]));
}
__device__ inline int32_t ColumnGroup(const WeightView& view, int32_t c) {
  c = min(c, view.end - 1);  // of padding: any group
  return view.column_group == nullptr ? view.GroupAt(c) : view.column_group[c];
}

// w = (w - zero)·scale. Columns are sorted by group, so that a piece whose ends agree is of one group.
__device__ inline void OpenGroups(const WeightView& view, int64_t row, int32_t c, float* w) {
  const int64_t first = view.FirstGroup(row);
  const int32_t group = ColumnGroup(view, c);
  const float scale = ScaleOf(view, first + group), zero = ZeroOf(view, first + group);
  const bool one = ColumnGroup(view, c + kPiece - 1) == group;
  for (int i = 0; i < kPiece; ++i) {
    const int64_t own = one ? 0 : first + ColumnGroup(view, c + i);
    w[i] = one ? (w[i] - zero) * scale : (w[i] - ZeroOf(view, own)) * ScaleOf(view, own);
  }
}

// The 8 stored values at column c (a multiple of 8) of a row; zero where they are another rank's or padding.
template <class Read>
__device__ inline void OpenPiece(const WeightView& view, int64_t row, int32_t c, float* w) {
  const std::byte* at = view.codes + row * view.row_bytes;
  if constexpr (Read::kPlain) {
    if (view.wide && view.Whole(c)) return Read::Open(at, c, w);
    for (int i = 0; i < kPiece; ++i) w[i] = view.Has(c + i) ? Read::One(at, c + i) : 0;
  } else {
    Read::Open(at, c, w);
    if constexpr (Read::kCodes) OpenGroups(view, row, c, w);
    if (view.Whole(c)) return;
    for (int i = 0; i < kPiece; ++i) w[i] = view.Has(c + i) ? w[i] : 0;
  }
}

inline WeightView ViewOf(const PackedWeight& weight) {
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max() - kPiece;
  const Groups& groups = weight.groups;
  DROVER_CHECK(weight.rows <= kMax && weight.lead + weight.cols <= kMax);
  DROVER_CHECK(groups.row_offset + weight.rows <= kMax && groups.col_offset + weight.cols <= kMax);
  WeightView view{weight.bytes.data(), weight.row_bytes, static_cast<int32_t>(weight.lead), static_cast<int32_t>(weight.lead + weight.cols)};
  view.wide = weight.row_bytes % 16 == 0;
  if (!weight.grouped()) return view;
  const int64_t sorted = static_cast<int64_t>((groups.order.size() + groups.column_group.size()) * sizeof(int32_t));
  DROVER_CHECK_EQ(groups.sorted.size(), sorted);  // else the weight was not made by CopyTo
  view.scales = groups.scales.data();
  view.zeros = groups.zeros.size() == 0 ? nullptr : groups.zeros.data();
  view.scale_type = groups.scale_type;
  view.zero = groups.zero;
  view.group_rows = static_cast<int32_t>(std::min(groups.rows, kMax));
  view.group_cols = static_cast<int32_t>(std::min(std::max<int64_t>(groups.cols, 1), kMax));
  const auto shift = [](int32_t n) { return std::has_single_bit(static_cast<uint32_t>(n)) ? std::countr_zero(static_cast<uint32_t>(n)) : -1; };
  view.row_shift = shift(view.group_rows);
  view.col_shift = shift(view.group_cols);
  view.row_offset = static_cast<int32_t>(groups.row_offset);
  view.col_offset = static_cast<int32_t>(groups.col_offset);
  view.across = static_cast<int32_t>(groups.across);
  const auto* columns = reinterpret_cast<const int32_t*>(groups.sorted.data());
  if (!groups.order.empty()) view.order = columns;
  if (!groups.column_group.empty()) view.column_group = columns + groups.order.size();
  return view;
}

// action(reader of the dtype).
template <class Action>
void WithReader(DType dtype, const Action& action) {
  switch (dtype) {
    case DType::kF32: return action(ReadF32());
    case DType::kF16: return action(ReadF16());
    case DType::kBF16: return action(ReadBF16());
    case DType::kQ8_0: return action(ReadQ8_0());
    case DType::kQ8_1: return action(ReadQ8_1());
    case DType::kQ4_0: return action(ReadQ4_0());
    case DType::kQ4_1: return action(ReadQ4_1());
    case DType::kQ5_0: return action(ReadQ5_0());
    case DType::kQ5_1: return action(ReadQ5_1());
    case DType::kMxfp4: return action(ReadMxfp4());
    case DType::kQ2_K: return action(ReadQ2_K());
    case DType::kQ3_K: return action(ReadQ3_K());
    case DType::kQ4_K: return action(ReadQ4_K());
    case DType::kQ5_K: return action(ReadQ5_K());
    case DType::kQ6_K: return action(ReadQ6_K());
    case DType::kQ8_K: return action(ReadQ8_K());
    case DType::kU4: return action(ReadU4());
    case DType::kU8: return action(ReadU8());
    case DType::kF8E4M3: return action(ReadF8());
    case DType::kE2M1: return action(ReadE2M1());
    case DType::kNF4: return action(ReadNF4());
    default: DROVER_CHECK(false);
  }
}

}  // namespace drover::cuda
