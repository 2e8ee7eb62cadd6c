// The chunks of block forms that have a way of their own, and what kernels ask of chunks of any form.
#pragma once

#include "kernels/cuda/chunks.cuh"

namespace drover::cuda {

// Two bytes and then kWords words, at an even address: never a byte besides.
template <int kWords>
struct HalfAndWords {
  unsigned half, words[kWords];
  static __device__ HalfAndWords Load(const std::byte* p) {
    const bool odd = (reinterpret_cast<uintptr_t>(p) & 2) != 0;  // then the words lie at multiples of 4 bytes
    const unsigned* at = reinterpret_cast<const unsigned*>(p + (odd ? 2 : 0));
    const unsigned other = *reinterpret_cast<const uint16_t*>(odd ? p : p + kWords * 4);
    unsigned found[kWords + 1];
    for (int i = 0; i < kWords; ++i) found[i] = __ldcs(at + i);
    found[kWords] = other;
    HalfAndWords all;
    all.half = odd ? other : found[0] & 0xffff;
    for (int i = 0; i < kWords; ++i) all.words[i] = odd ? found[i] : found[i] >> 16 | found[i + 1] << 16;
    return all;
  }
};
__device__ inline float HalfOf(unsigned bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); }

template <>
struct Chunk<ReadQ8_0> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 1;
  using Raw = HalfAndWords<8>;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) { return Raw::Load(ReadQ8_0::Block(row.codes, c)); }
  static __device__ void Open(const Raw& raw, int piece, float* w) {
    const float d = HalfOf(raw.half);
    for (int i = 0; i < kPiece; ++i)
      w[i] = d * static_cast<float>(static_cast<int8_t>(raw.words[piece * 2 + i / 4] >> 8 * (i % 4) & 255));
  }
};
template <>
struct Chunk<ReadQ4_0> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  using Raw = Chunk<ReadU4>::Raw;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) {
    const auto all = HalfAndWords<4>::Load(ReadQ4_0::Block(row.codes, c));
    const float d = HalfOf(all.half);
    return {{all.words[0], all.words[1], all.words[2], all.words[3]}, {d, -(kCodeBase + 8) * d}};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) { raw.line.OpenCodes(raw.codes, piece, w); }
};
template <>
struct Chunk<ReadQ4_1> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  using Raw = Chunk<ReadU4>::Raw;
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) {
    const unsigned* at = reinterpret_cast<const unsigned*>(ReadQ4_1::Block(row.codes, c));
    const unsigned halves = __ldcs(at);
    const float d = HalfOf(halves & 0xffff), m = HalfOf(halves >> 16);
    return {{__ldcs(at + 1), __ldcs(at + 2), __ldcs(at + 3), __ldcs(at + 4)}, {d, fmaf(-kCodeBase, d, m)}};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) { raw.line.OpenCodes(raw.codes, piece, w); }
};
template <>
struct Chunk<ReadMxfp4> {
  static constexpr int kPieces = 4, kSteps = 1, kBands = 2;
  using Raw = Chunk<ReadU4>::Raw;
  // The codes begin one byte into the block, at any address: five words hold them, of which the last may reach past the row.
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) {
    const std::byte* block = ReadMxfp4::Block(row.codes, c);
    const unsigned off = static_cast<unsigned>(reinterpret_cast<uintptr_t>(block + 1) & 3);
    const std::byte* p = block + 1 - off;
    const unsigned* at = reinterpret_cast<const unsigned*>(p);
    const unsigned q[4] = {__ldcs(at), __ldcs(at + 1), __ldcs(at + 2), __ldcs(at + 3)};
    unsigned last = 0;
    if (off != 0 && p + 20 <= row.end) last = __ldcs(at + 4);
    if (off != 0 && p + 20 > row.end)
      for (unsigned i = 0; i < off; ++i) last |= static_cast<unsigned>(p[16 + i]) << 8 * i;
    const unsigned shift = 8 * off;
    const float d = E8M0(static_cast<unsigned>(block[0]));
    return {{__funnelshift_r(q[0], q[1], shift), __funnelshift_r(q[1], q[2], shift), __funnelshift_r(q[2], q[3], shift),
             __funnelshift_r(q[3], last, shift)},
            {d, -kE2M1Base * d}};
  }
  static __device__ void Open(const Raw& raw, int piece, float* w) { raw.line.OpenE2M1(raw.codes, piece, w); }
};

// 64 columns: two scales, and 32 bytes with the first half of the columns in their low halves.
template <>
struct Chunk<ReadQ4_K> {
  static constexpr int kPieces = 8, kSteps = 1, kBands = 2;
  struct Raw {
    uint4 codes[2];
    Line lines[2];
  };
  static __device__ Raw Load(const WeightView&, const RowAt& row, int32_t c) {
    const std::byte* block = ReadQ4_K::Block(row.codes, c);
    const int part = c % 256 / 64;
    Raw raw{{LoadSixteen(block + 16 + part * 32), LoadSixteen(block + 32 + part * 32)}, {}};
    for (int i = 0; i < 2; ++i) {
      const ScaleAndMin s = SixBits(block + 4, 2 * part + i);
      const float d = F16(block) * static_cast<float>(s.scale), m = F16(block + 2) * static_cast<float>(s.minimum);
      raw.lines[i] = {d, fmaf(-kCodeBase, d, -m)};
    }
    return raw;
  }
  // Of the first half the low halves of bytes, of the second the upper ones.
  static __device__ void Open(const Raw& raw, int piece, float* w) {
    raw.lines[piece / 4].OpenCodes(raw.codes[piece % 4 / 2], piece % 2 + piece / 4 * 2, w);
  }
};

template <class Read>
inline constexpr int kColumns = Chunk<Read>::kPieces * kPiece;

// The i-th piece that is opened: of 32 codes of 4 bits those that share bytes follow each other.
template <class Read>
__host__ __device__ constexpr int PieceAt(int i) {
  return Chunk<Read>::kPieces == 4 ? i / 2 + i % 2 * 2 : i;
}

// Whether whole chunks may be loaded: plain rows at multiples of 16 bytes, codes with one group to a chunk.
template <class Read>
bool InChunks(const WeightView& view) {
  if (Read::kPlain) return view.wide;
  if (!Read::kCodes || view.across == 1) return true;
  return view.column_group == nullptr && view.group_cols % kColumns<Read> == 0 && view.col_offset % kColumns<Read> == 0;
}

// A chunk's values in bf16, 8 at a time.
template <class Read>
__device__ inline uint4 OpenRounded(const typename Chunk<Read>::Raw& raw, int piece) {
  float w[kPiece];
  Chunk<Read>::Open(raw, piece, w);
  return BF16Piece(w);
}
template <>
__device__ inline uint4 OpenRounded<ReadBF16>(const uint4& raw, int) {
  return raw;
}

}  // namespace drover::cuda
