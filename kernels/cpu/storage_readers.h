// The storage forms of weights as the lanes L of one instruction set open them; unpack.cc says the same in plain words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace drover::cpu {

// Open gives kStride stored values at column c (a multiple of kStride) of a row, in kParts vectors. kStrideBytes: what they take in
// memory. kValueBytes: of one value; 0 for blocks, whose rows are whole strides.
template <class L>
struct ReadF32 {
  static constexpr int64_t kStrideBytes = 128;
  static constexpr int64_t kValueBytes = 4;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::Load(reinterpret_cast<const float*>(row) + c + p * L::kWidth);
  }
};
template <class L>
struct ReadF16 {
  static constexpr int64_t kStrideBytes = 64;
  static constexpr int64_t kValueBytes = 2;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadF16(reinterpret_cast<const uint16_t*>(row) + c + p * L::kWidth);
  }
};
template <class L>
struct ReadBF16 {
  static constexpr int64_t kStrideBytes = 64;
  static constexpr int64_t kValueBytes = 2;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    for (int p = 0; p < L::kParts; ++p) w[p] = L::LoadBF16(reinterpret_cast<const uint16_t*>(row) + c + p * L::kWidth);
  }
};
template <class L>
struct ReadQ8_0 {
  static constexpr int64_t kStrideBytes = 34;
  static constexpr int64_t kValueBytes = 0;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    const std::byte* block = row + c / kStride * 34;
    const typename L::V d = L::SetF16(block);
    for (int p = 0; p < L::kParts; ++p)
      w[p] = L::Mul(d, L::LoadI8(reinterpret_cast<const int8_t*>(block + 2) + p * L::kWidth));
  }
};
template <class L>
struct ReadQ4_0 {
  static constexpr int64_t kStrideBytes = 18;
  static constexpr int64_t kValueBytes = 0;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    const std::byte* block = row + c / kStride * 18;
    const typename L::V d = L::SetF16(block);
    L::OpenNibbles(block + 2, d, L::Mul(d, L::Set(-8.0f)), w);
  }
};
template <class L>
struct ReadQ4_1 {
  static constexpr int64_t kStrideBytes = 20;
  static constexpr int64_t kValueBytes = 0;
  static void Open(const std::byte* row, int64_t c, typename L::V* w) {
    const std::byte* block = row + c / kStride * 20;
    typename L::V d, m;
    L::SetF16Pair(block, &d, &m);
    L::OpenNibbles(block + 4, d, m, w);
  }
};

}  // namespace drover::cpu
