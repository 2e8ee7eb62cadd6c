// Chunk: what one lane takes of a row at a time. Load leaves raw words in registers, so that the loads of several rows are under way
// before the first of them is opened; Open then makes 8 values of it. A chunk is whole: no column of it is another rank's or padding.
#pragma once

#include "kernels/cuda/bf16.cuh"
#include "kernels/cuda/bytes.cuh"
#include "kernels/cuda/weight_view.cuh"

namespace drover::cuda {

struct RowAt {
  const std::byte* codes = nullptr;
  const std::byte* end = nullptr;  // of the row
  int64_t first_group = 0;         // in the arrays of groups
};
__device__ inline RowAt RowOf(const WeightView& view, int64_t row) {
  const std::byte* codes = view.codes + row * view.row_bytes;
  return {codes, codes + view.row_bytes, view.FirstGroup(row)};
}

// (w - zero)·scale, for a chunk that lies in one group.
struct Factor {
  float scale, zero;
  __device__ float Of(float code) const { return (code - zero) * scale; }
};
__device__ inline Factor FactorAt(const WeightView& view, const RowAt& row, int32_t c) {
  const int64_t group = row.first_group + view.GroupAt(c);
  return {ScaleOf(view, group), ZeroOf(view, group)};
}

__device__ inline unsigned Word(const uint4& words, int i) { return i == 0 ? words.x : i == 1 ? words.y : i == 2 ? words.z : words.w; }
__device__ inline unsigned ByteOf(const uint4& bytes, int i) { return Word(bytes, i / 4) >> 8 * (i % 4) & 255; }
// 32 codes of 4 bits in 16 bytes, low halves first.
__device__ inline unsigned NibbleOf(const uint4& codes, int i) { return Word(codes, i % 16 / 4) >> (8 * (i % 4) + i / 16 * 4) & 15; }
__device__ inline uint4 LoadSixteen(const std::byte* p) { return __ldcs(reinterpret_cast<const uint4*>(p)); }

// Numbers made of bytes without a conversion: a byte b of at least 128 is the float 16 + (b - 128) / 8, whose third byte it is.
__device__ inline float FloatOf(unsigned bytes, int i) {
  constexpr unsigned kUpper = 0x41000000u, kPlaces = 0x7044u;  // its upper byte, b, two zeros
  return __uint_as_float(__byte_perm(bytes, kUpper, kPlaces | static_cast<unsigned>(i) << 8));
}
// Such bytes for the lower or upper four bits of each byte of a word: they stand for 16 + code.
inline constexpr float kCodeBase = 16;
__device__ inline unsigned CodeBytes(unsigned word, bool upper) { return ((upper ? word >> 1 : word << 3) & 0x78787878u) | 0x80808080u; }
// And for four codes of e2m1 that follow each other in half a word: 24 + value, from a table for each sign.
inline constexpr float kE2M1Base = 24;
__device__ inline unsigned E2M1Bytes(unsigned word, bool upper) {
  const unsigned codes = upper ? word >> 16 : word;
  const unsigned plus = __byte_perm(0xccc8c4c0u, 0xf0e0d8d0u, codes), minus = __byte_perm(0xb4b8bcc0u, 0x90a0a8b0u, codes);
  const unsigned negative = SignBytes(codes);
  return (plus & ~negative) | (minus & negative);
}

// w = scale·v + offset for numbers v that are made of bytes, rounded once; exact where scale has at most 16 bits and offset is -base·scale.
struct Line {
  float scale, offset;
  // Columns [8·piece, 8·piece + 8) of 32 codes of 4 bits, low halves first.
  __device__ void OpenCodes(const uint4& codes, int piece, float* w) const {
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(scale, FloatOf(CodeBytes(Word(codes, piece % 2 * 2 + i / 4), piece >= 2), i % 4), offset);
  }
  __device__ void OpenE2M1(const uint4& codes, int piece, float* w) const {
    for (int i = 0; i < kPiece; ++i)
      w[i] = fmaf(scale, FloatOf(E2M1Bytes(Word(codes, piece % 2 * 2 + i / 4), i % 4 >= 2), i % 2 * 2 + piece / 2), offset);
  }
};

// A form without a way of its own: 8 values, opened as they are loaded. Of products on tensor cores a warp takes kBands times 16 rows.
template <class Read>
struct Chunk {
  static constexpr int kPieces = 1, kSteps = 2, kBands = 1;
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
  static constexpr int kPieces = 1, kSteps = 4, kBands = 1;
  using Raw = uint4;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) { return LoadSixteen(row.codes + int64_t{c} * 2); }
  static __device__ void Open(const Raw& raw, int, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = __uint_as_float(i % 2 == 0 ? Word(raw, i / 2) << 16 : Word(raw, i / 2) & 0xffff0000u);
  }
};
template <>
struct Chunk<ReadF16> {
  static constexpr int kPieces = 1, kSteps = 4, kBands = 1;
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
  static constexpr int kPieces = 2, kSteps = 2, kBands = 1;
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
struct NF4Codes {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  struct Raw {
    uint4 codes;
    Factor factor;
  };
  static __device__ Raw Load(const WeightView& view, const RowAt& row, int32_t c) {
    return {LoadSixteen(row.codes + c / 2), FactorAt(view, row, c)};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) {
    for (int i = 0; i < kPiece; ++i) w[i] = raw.factor.Of(ReadNF4::Value(NibbleOf(raw.codes, piece * kPiece + i)));
  }
};
template <>
struct Chunk<ReadU8> : ByteCodes<ReadU8> {};
template <>
struct Chunk<ReadF8> : ByteCodes<ReadF8> {};
template <>
struct Chunk<ReadNF4> : NF4Codes {};
// Codes that are numbers made of bytes, with groups beside them.
template <>
struct Chunk<ReadU4> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  struct Raw {
    uint4 codes;
    Line line;
  };
  static __device__ Raw Load(const WeightView& view, const RowAt& row, int32_t c) {
    const Factor factor = FactorAt(view, row, c);
    return {LoadSixteen(row.codes + c / 2), {factor.scale, -(kCodeBase + factor.zero) * factor.scale}};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) { raw.line.OpenCodes(raw.codes, piece, w); }
};
template <>
struct Chunk<ReadE2M1> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  using Raw = Chunk<ReadU4>::Raw;
  static __device__ Raw Load(const WeightView& view, const RowAt& row, int32_t c) {
    const Factor factor = FactorAt(view, row, c);
    return {LoadSixteen(row.codes + c / 2), {factor.scale, -(kE2M1Base + factor.zero) * factor.scale}};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) { raw.line.OpenE2M1(raw.codes, piece, w); }
};

}  // namespace drover::cuda
