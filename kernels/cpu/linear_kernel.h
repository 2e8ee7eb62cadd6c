// The loops of y = Wx + b over the lanes L of one instruction set. For every (row, token) one vector accumulator takes the columns in
// order, whatever the number of tokens, so a token's result does not depend on its batch.
#pragma once

#include <cstring>

#include "kernels/cpu/storage_readers.h"

namespace drover::cpu {

// The last, partial stride of a plain row: missing values are zero.
template <class L, class Read>
inline void OpenTail(const RowView& row, int64_t c, int64_t cols, typename L::V* w) {
  alignas(64) std::byte values[kStride * 4] = {};
  std::memcpy(values, row.codes + c * Read::kValueBytes, static_cast<size_t>((cols - c) * Read::kValueBytes));
  Read::Open(RowView{values}, 0, w);
}

struct RowViews {
  RowView row[kRowsAtOnce];
  int64_t count;  // rows that exist; the others repeat the last
};

template <class Read>
inline RowViews RowsFrom(const LinearSlice& slice, int64_t r) {
  RowViews rows{{}, slice.end - r < kRowsAtOnce ? slice.end - r : kRowsAtOnce};
  for (int64_t i = 0; i < kRowsAtOnce; ++i) {
    RowView& row = rows.row[i];
    row = rows.row[i < rows.count ? i : rows.count - 1];
    if (i >= rows.count) continue;
    row.codes = slice.weights + (r + i) * slice.row_bytes;
    if constexpr (Read::kGrouped) {
      float* scales = slice.sides + 2 * i * slice.index->entries();
      float* zeros = Read::kShifted ? scales + slice.index->entries() : nullptr;
      ExpandGroups(*slice.groups, *slice.index, slice.group_row + r + i, scales, zeros);
      row.scales = scales;
      row.zeros = zeros;
    }
  }
  return rows;
}

// y[t, r…r+count) = sums + bias.
inline void StoreSums(const LinearSlice& slice, int64_t r, int64_t count, int64_t t, const float* sums) {
  float* y = slice.y + t * slice.y_stride + r;
  for (int64_t i = 0; i < count; ++i) y[i] = slice.bias == nullptr ? sums[i] : sums[i] + slice.bias[r + i];
}

// The same columns of the rows that come next: four interleaved streams are too much for the hardware's own prefetch.
template <class Read>
inline void Prefetch(const std::byte* row, int64_t c) {
  const std::byte* at = row + c * Read::kBlockBytes / Read::kBlockValues;
  for (int64_t line = 0; line * Read::kBlockValues < kStride * Read::kBlockBytes; line += 64) __builtin_prefetch(at + line, 0, 2);
}

// Few tokens: weights go from their storage form straight into the sums.
template <class L, class Read, int T>
void DirectRows(const LinearSlice& slice, int64_t r) {
  using V = typename L::V;
  const RowViews rows = RowsFrom<Read>(slice, r);
  V sum[T][kRowsAtOnce];
  for (int t = 0; t < T; ++t)
    for (int i = 0; i < kRowsAtOnce; ++i) sum[t][i] = L::Zero();
  const auto accumulate = [&](int64_t c, int i, const V* w) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 8
      for (int p = 0; p < L::kParts; ++p)
        sum[t][i] = L::Fma(w[p], L::Load(slice.x + t * slice.x_stride + c + p * L::kWidth), sum[t][i]);
    }
  };
  V w[L::kParts];
  const int64_t whole = slice.cols / kStride * kStride;
  for (int64_t c = 0; c < whole; c += kStride) {
#pragma GCC unroll 4
    for (int i = 0; i < kRowsAtOnce; ++i) {
      Read::Open(rows.row[i], slice.first + c, w);
      Prefetch<Read>(rows.row[i].codes + kRowsAtOnce * slice.row_bytes, slice.first + c);
      accumulate(c, i, w);
    }
  }
  if constexpr (Read::kValueBytes > 0) {  // rows of blocks are whole strides
    for (int i = 0; whole < slice.cols && i < kRowsAtOnce; ++i) {
      OpenTail<L, Read>(rows.row[i], whole, slice.cols, w);
      accumulate(whole, i, w);
    }
  }
  float sums[kRowsAtOnce];
  for (int t = 0; t < T; ++t) {
    L::Sum4(sum[t][0], sum[t][1], sum[t][2], sum[t][3], sums);
    StoreSums(slice, r, rows.count, t, sums);
  }
}

// Four rows, opened to f32 in slice.tile; missing columns are zero.
template <class L, class Read>
void OpenTile(const LinearSlice& slice, const RowViews& rows) {
  const int64_t whole = slice.cols / kStride * kStride, padded = RoundUp(slice.cols, kStride);
  for (int64_t i = 0; i < kRowsAtOnce; ++i) {
    float* to = slice.tile + i * padded;
    typename L::V w[L::kParts];
    for (int64_t c = 0; c < whole; c += kStride) {
      Read::Open(rows.row[i], slice.first + c, w);
      for (int p = 0; p < L::kParts; ++p) L::Store(to + c + p * L::kWidth, w[p]);
    }
    if constexpr (Read::kValueBytes > 0) {
      if (whole == slice.cols) continue;
      OpenTail<L, Read>(rows.row[i], whole, slice.cols, w);
      for (int p = 0; p < L::kParts; ++p) L::Store(to + whole + p * L::kWidth, w[p]);
    }
  }
}

// T tokens against the opened tile: 4·T sums stay in registers.
template <class L, int T>
void TileRows(const LinearSlice& slice, int64_t r, int64_t count, int64_t t0) {
  using V = typename L::V;
  const int64_t padded = RoundUp(slice.cols, kStride);
  const float* x = slice.x + t0 * slice.x_stride;
  V sum[T][kRowsAtOnce];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t)
#pragma GCC unroll 4
    for (int i = 0; i < kRowsAtOnce; ++i) sum[t][i] = L::Zero();
  for (int64_t c = 0; c < padded; c += L::kWidth) {
    V w[kRowsAtOnce];
#pragma GCC unroll 4
    for (int i = 0; i < kRowsAtOnce; ++i) w[i] = L::Load(slice.tile + i * padded + c);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const V v = L::Load(x + t * slice.x_stride + c);
#pragma GCC unroll 4
      for (int i = 0; i < kRowsAtOnce; ++i) sum[t][i] = L::Fma(w[i], v, sum[t][i]);
    }
  }
  float sums[kRowsAtOnce];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    L::Sum4(sum[t][0], sum[t][1], sum[t][2], sum[t][3], sums);
    StoreSums(slice, r, count, t0 + t, sums);
  }
}

template <class L, int T>
int64_t TileTail(const LinearSlice& slice, int64_t r, int64_t count, int64_t t0) {
  if constexpr (T > 0) {
    if (slice.tokens - t0 >= T) {
      TileRows<L, T>(slice, r, count, t0);
      return t0 + T;
    }
    return TileTail<L, T - 1>(slice, r, count, t0);
  }
  return t0;
}

template <class L, class Read>
void Linear(const LinearSlice& slice) {
  constexpr void (*kDirect[])(const LinearSlice&, int64_t) = {DirectRows<L, Read, 1>, DirectRows<L, Read, 2>, DirectRows<L, Read, 3>};
  if (slice.tokens == 0) return OpenTile<L, Read>(slice, RowsFrom<Read>(slice, slice.begin));
  if (slice.tokens <= 3) {
    for (int64_t r = slice.begin; r < slice.end; r += kRowsAtOnce) kDirect[slice.tokens - 1](slice, r);
    return;
  }
  for (int64_t r = slice.begin; r < slice.end; r += kRowsAtOnce) {
    const RowViews rows = RowsFrom<Read>(slice, r);
    OpenTile<L, Read>(slice, rows);
    for (int64_t t = 0; t < slice.tokens;) t = TileTail<L, L::kTileTokens>(slice, r, rows.count, t);
  }
}

}  // namespace drover::cpu
