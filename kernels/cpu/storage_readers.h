// The storage forms of weights as the lanes L of one instruction set open them: plain types and blocks of 32 values.
// unpack.cc and block_values.cc say the same in plain words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/block_values.h"
#include "kernels/cpu/kernel_table.h"

namespace drover::cpu {

// One row of a weight as the readers see it.
struct RowView {
  const std::byte* codes = nullptr;
  const float* scales = nullptr;  // of grouped codes: group_readers.h
  const float* zeros = nullptr;
};

// Open gives kStride stored values at column c (a multiple of kStride) of a row, in kParts vectors. kBlockValues values take
// kBlockBytes in memory. kValueBytes: of one value of a plain type; 0 for blocks, whose rows are whole strides.
template <int64_t kBytes, int64_t kValues = 1>
struct Stored {
  static constexpr int64_t kBlockBytes = kBytes, kBlockValues = kValues;
  static constexpr int64_t kValueBytes = kValues == 1 ? kBytes : 0;
  static constexpr bool kGrouped = false;
  static const std::byte* Block(const RowView& row, int64_t c) { return row.codes + c / kValues * kBytes; }
};

template <class L>
struct ReadF32 : Stored<4> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Load(reinterpret_cast<const float*>(row.codes) + c + p * L::kWidth);
  }
};
template <class L>
struct ReadF16 : Stored<2> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadF16(reinterpret_cast<const uint16_t*>(row.codes) + c + p * L::kWidth);
  }
};
template <class L>
struct ReadBF16 : Stored<2> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadBF16(reinterpret_cast<const uint16_t*>(row.codes) + c + p * L::kWidth);
  }
};

// w = d·q.
template <class L>
inline void OpenBytes(const std::byte* quants, typename L::V d, typename L::V* w) {
  for (int p = 0; p < L::kParts; ++p) w[p] = L::Mul(d, L::LoadI8(reinterpret_cast<const int8_t*>(quants) + p * L::kWidth));
}
template <class L>
struct ReadQ8_0 : Stored<34, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ8_0::Block(row, c);
    OpenBytes<L>(block + 2, L::SetF16(block), w);
  }
};
template <class L>
struct ReadQ8_1 : Stored<36, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ8_1::Block(row, c);
    OpenBytes<L>(block + 4, L::SetF16(block), w);
  }
};
template <class L>
struct ReadQ4_0 : Stored<18, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ4_0::Block(row, c);
    const typename L::V d = L::SetF16(block);
    L::OpenNibbles(block + 2, d, L::Mul(d, L::Set(-8.0f)), w);
  }
};
template <class L>
struct ReadQ4_1 : Stored<20, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ4_1::Block(row, c);
    typename L::V d, m;
    L::SetF16Pair(block, &d, &m);
    L::OpenNibbles(block + 4, d, m, w);
  }
};

// w = d·(nibble + 16·high bit) + m: sixteen more steps of d where the bit is set.
template <class L>
inline void OpenFiveBits(const std::byte* high, const std::byte* quants, typename L::V d, typename L::V m, typename L::V* w) {
  uint32_t bits;
  __builtin_memcpy(&bits, high, sizeof bits);
  L::OpenNibbles(quants, d, m, w);
  const typename L::V sixteen = L::Mul(d, L::Set(16.0f));
  for (int p = 0; p < L::kParts; ++p) w[p] = L::Fma(L::FromMask(bits >> (p * L::kWidth)), sixteen, w[p]);
}
template <class L>
struct ReadQ5_0 : Stored<22, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ5_0::Block(row, c);
    const typename L::V d = L::SetF16(block);
    OpenFiveBits<L>(block + 2, block + 6, d, L::Mul(d, L::Set(-16.0f)), w);
  }
};
template <class L>
struct ReadQ5_1 : Stored<24, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadQ5_1::Block(row, c);
    typename L::V d, m;
    L::SetF16Pair(block, &d, &m);
    OpenFiveBits<L>(block + 4, block + 8, d, L::Zero(), w);  // the minimum last: one rounding
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Add(w[p], m);
  }
};
template <class L>
struct ReadMxfp4 : Stored<17, 32> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    const std::byte* block = ReadMxfp4::Block(row, c);
    L::LookUpNibbles(block + 1, kE2M1Values, w);
    const typename L::V d = L::Set(PowerOfTwo(static_cast<uint8_t>(block[0])));
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Mul(d, w[p]);
  }
};

}  // namespace drover::cpu
