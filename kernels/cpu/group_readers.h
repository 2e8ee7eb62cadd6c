// Codes with scales beside them, as the lanes L of one instruction set open them; groups.cc says the same in plain words.
#pragma once

#include "kernels/cpu/storage_readers.h"
#include "kernels/groups.h"

namespace drover::cpu {

// Scales and zeros of a row stand ready as floats: one for each stride of 32 columns, or one for each column.
template <class L, int64_t kBytes, bool kColumns, bool kShifts = false>
struct Grouped : Stored<kBytes, 32> {
  using V = typename L::V;
  static constexpr bool kGrouped = true, kShifted = kShifts;
  static V Side(const float* side, int64_t c, int p) {
    if constexpr (kColumns) return L::Load(side + c + p * L::kWidth);
    return L::Set(side[c / kStride]);
  }
  static void Scale(const RowView& row, int64_t c, V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Mul(Side(row.scales, c, p), w[p]);
  }
  // w = (w - zero)·scale.
  static void ShiftAndScale(const RowView& row, int64_t c, V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Mul(Side(row.scales, c, p), L::Sub(w[p], Side(row.zeros, c, p)));
  }
};

template <class L, bool kColumns>
struct ReadU4 : Grouped<L, 16, kColumns, true> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    L::OpenNibbles(ReadU4::Block(row, c), L::Set(1.0f), L::Zero(), w);
    ReadU4::ShiftAndScale(row, c, w);
  }
};
template <class L, bool kColumns>
struct ReadU8 : Grouped<L, 32, kColumns, true> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadBits(ReadU8::Block(row, c) + p * L::kWidth, 0, 255);
    ReadU8::ShiftAndScale(row, c, w);
  }
};
template <class L, bool kColumns>
struct ReadF8 : Grouped<L, 32, kColumns> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadE4M3(ReadF8::Block(row, c) + p * L::kWidth);
    ReadF8::Scale(row, c, w);
  }
};
template <class L, bool kColumns>
struct ReadE2M1 : Grouped<L, 16, kColumns> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    L::LookUpNibbles(ReadE2M1::Block(row, c), kE2M1Values, w);
    ReadE2M1::Scale(row, c, w);
  }
};
template <class L, bool kColumns>
struct ReadNF4 : Grouped<L, 16, kColumns> {
  static void Open(const RowView& row, int64_t c, typename L::V* w) {
    L::LookUpNibbles(ReadNF4::Block(row, c), kNF4Values, w);
    ReadNF4::Scale(row, c, w);
  }
};

}  // namespace drover::cpu
