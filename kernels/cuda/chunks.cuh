// Chunk: what one lane takes of a row at a time. Load leaves raw words in registers, so that the loads of several rows are under way
// before the first of them is opened; Open then makes 8 values of it. A chunk is whole: no column of it is another rank's or padding.
#pragma once

#include "kernels/cuda/bf16.cuh"
#include "kernels/cuda/weight_view.cuh"

namespace drover::cuda {

struct RowAt {
  const std::byte* codes = nullptr;
  const std::byte* end = nullptr;  // of the row
  int64_t first_group = 0;         // in the arrays of groups
};
__device__ inline RowAt RowOf(const WeightView& view, int64_t row) {
  const std::byte* codes = view.codes + row * view.row_bytes;
  return {codes, codes + view.row_bytes, int64_t{(view.row_offset + static_cast<int32_t>(row)) / view.group_rows} * view.across};
}

// (w - zero)·scale, for a chunk that lies in one group.
struct Factor {
  float scale, zero;
  __device__ float Of(float code) const { return (code - zero) * scale; }
};
__device__ inline Factor FactorAt(const WeightView& view, const RowAt& row, int32_t c) {
  const int64_t group = row.first_group + (view.col_offset + c) / view.group_cols;
  return {ScaleOf(view, group), ZeroOf(view, group)};
}

__device__ inline unsigned Word(const uint4& words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }
__device__ inline unsigned ByteOf(const uint4& bytes, int i) { return Word(bytes, i / 4) >> 8 * (i % 4) & 255; }
// 32 codes of 4 bits in 16 bytes, low halves first.
__device__ inline unsigned NibbleOf(const uint4& codes, int i) { return Word(codes, i % 16 / 4) >> (8 * (i % 4) + i / 16 * 4) & 15; }
__device__ inline uint4 LoadSixteen(const std::byte* p) { return __ldcs(reinterpret_cast<const uint4*>(p)); }

// A form without a way of its own: 8 values, opened as they are loaded.
template <class Read>
struct Chunk {
  static constexpr int kPieces = 1, kSteps = 2;
  struct Raw {
    float w[kPiece];
  };
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) {
    static_assert(!Read::kCodes);
    Raw raw;
    Read::Open(row.codes, c, raw.w);
    return raw;
  }
  static __device__ void Open(const Raw& raw, int, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = raw.w[i];
  }
};

template <>
struct Chunk<ReadBF16> {
  static constexpr int kPieces = 1, kSteps = 4;
  using Raw = uint4;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) { return LoadSixteen(row.codes + int64_t{c} * 2); }
  static __device__ void Open(const Raw& raw, int, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = __uint_as_float(i % 2 == 0 ? Word(raw, i / 2) << 16 : Word(raw, i / 2) & 0xffff0000u);
  }
};
template <>
struct Chunk<ReadF16> {
  static constexpr int kPieces = 1, kSteps = 4;
  using Raw = uint4;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) { return LoadSixteen(row.codes + int64_t{c} * 2); }
  static __device__ void Open(const Raw& raw, int, float* w) {
    for (int i = 0; i < kPiece; ++i)
      w[i] = __half2float(__ushort_as_half(static_cast<unsigned short>(Word(raw, i / 2) >> 16 * (i % 2))));
  }
};

// Codes of 8 bits and of 4 bits, each a value by itself, with groups beside them.
template <class Read>
struct ByteCodes {
  static constexpr int kPieces = 2, kSteps = 2;
  struct Raw {
    uint4 codes;
    Factor factor;
  };
  static __device__ Raw Load(const WeightView& view, const RowAt& row, int32_t c) {
    return {LoadSixteen(row.codes + c), FactorAt(view, row, c)};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = raw.factor.Of(Read::Value(ByteOf(raw.codes, piece * kPiece + i)));
  }
};
template <class Read>
struct NibbleCodes {
  static constexpr int kPieces = 4, kSteps = 2;
  struct Raw {
    uint4 codes;
    Factor factor;
  };
  static __device__ Raw Load(const WeightView& view, const RowAt& row, int32_t c) {
    return {LoadSixteen(row.codes + c / 2), FactorAt(view, row, c)};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = raw.factor.Of(Read::Value(NibbleOf(raw.codes, piece * kPiece + i)));
  }
};
template <>
struct Chunk<ReadU8> : ByteCodes<ReadU8> {};
template <>
struct Chunk<ReadF8> : ByteCodes<ReadF8> {};
template <>
struct Chunk<ReadU4> : NibbleCodes<ReadU4> {};
template <>
struct Chunk<ReadE2M1> : NibbleCodes<ReadE2M1> {};
template <>
struct Chunk<ReadNF4> : NibbleCodes<ReadNF4> {};

}  // namespace drover::cuda
