// The blocks of 256 values ("K" types) as the lanes L of one instruction set open them; block_values.cc has the layouts.
#pragma once

#include "kernels/cpu/storage_readers.h"

namespace drover::cpu {

template <class L>
inline typename L::V Times(typename L::V d, int q) {
  return L::Mul(d, L::Set(static_cast<float>(q)));
}

// The 16 values that vector p of the stride at column c belongs to, within the block.
template <class L>
inline int64_t Sixteen(int64_t c, int p) {
  return (c % 256 + p * L::kWidth) / 16;
}

template <class L>
struct ReadQ2_K : Stored<84, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ2_K::Block(row, c);
    const std::byte* quants = block + 16 + c % 256 / 128 * 32;
    const typename L::V d = L::SetF16(block + 80), m = L::SetF16(block + 82);
    for (int p = 0; p < L::kParts; ++p) {
      const int scales = static_cast<int>(block[Sixteen<L>(c, p)]);
      const typename L::V q = L::LoadBits(quants + p * L::kWidth, static_cast<int>(c % 128 / 16), 3);
      w[p] = L::Sub(L::Mul(Times<L>(d, scales & 15), q), Times<L>(m, scales >> 4));
    }
  }
};
template <class L>
struct ReadQ3_K : Stored<110, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ3_K::Block(row, c);
    const std::byte* quants = block + 32 + c % 256 / 128 * 32;
    const typename L::V d = L::SetF16(block + 108);
    for (int p = 0; p < L::kParts; ++p) {
      const typename L::V low = L::LoadBits(quants + p * L::kWidth, static_cast<int>(c % 128 / 16), 3);
      const typename L::V high = L::LoadBits(block + p * L::kWidth, static_cast<int>(c % 256 / 32), 1);
      const typename L::V q = L::Sub(L::Fma(high, L::Set(4.0f), low), L::Set(4.0f));
      w[p] = L::Mul(Times<L>(d, SixBitsSigned(block + 96, Sixteen<L>(c, p))), q);
    }
  }
};
// w = d·q + m for the 32 values at column c of a block that starts with two halves and 6-bit scales and minima.
template <class L>
inline void SetSubBlock(const std::byte* block, int64_t c, typename L::V* d, typename L::V* m) {
  const ScaleAndMin s = SixBits(block + 4, c % 256 / 32);
  *d = Times<L>(L::SetF16(block), s.scale);
  *m = Times<L>(L::SetF16(block + 2), -s.minimum);
}
template <class L>
struct ReadQ4_K : Stored<144, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ4_K::Block(row, c);
    const std::byte* quants = block + 16 + c % 256 / 64 * 32;
    typename L::V d, m;
    SetSubBlock<L>(block, c, &d, &m);
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Fma(d, L::LoadBits(quants + p * L::kWidth, static_cast<int>(c % 64 / 8), 15), m);
  }
};
template <class L>
struct ReadQ5_K : Stored<176, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ5_K::Block(row, c);
    const std::byte* quants = block + 48 + c % 256 / 64 * 32;
    typename L::V d, m;
    SetSubBlock<L>(block, c, &d, &m);
    for (int p = 0; p < L::kParts; ++p) {
      const typename L::V low = L::LoadBits(quants + p * L::kWidth, static_cast<int>(c % 64 / 8), 15);
      const typename L::V high = L::LoadBits(block + 16 + p * L::kWidth, static_cast<int>(c % 256 / 32), 1);
      w[p] = L::Fma(d, L::Fma(high, L::Set(16.0f), low), m);
    }
  }
};
template <class L>
struct ReadQ6_K : Stored<210, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ6_K::Block(row, c);
    const int64_t half = c % 256 / 128, quarter = c % 128 / 32;
    const std::byte* lows = block + half * 64 + quarter % 2 * 32;
    const std::byte* highs = block + 128 + half * 32;
    const typename L::V d = L::SetF16(block + 208);
    for (int p = 0; p < L::kParts; ++p) {
      const typename L::V low = L::LoadBits(lows + p * L::kWidth, static_cast<int>(quarter / 2 * 4), 15);
      const typename L::V high = L::LoadBits(highs + p * L::kWidth, static_cast<int>(2 * quarter), 3);
      const typename L::V q = L::Sub(L::Fma(high, L::Set(16.0f), low), L::Set(32.0f));
      w[p] = L::Mul(Times<L>(d, static_cast<int8_t>(block[192 + Sixteen<L>(c, p)])), q);
    }
  }
};
template <class L>
struct ReadQ8_K : Stored<292, 256> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ8_K::Block(row, c);
    float d;
    __builtin_memcpy(&d, block, sizeof d);
    OpenBytes<L>(block + 4 + c % 256, L::Set(d), w);
  }
};

}  // namespace drover::cpu
