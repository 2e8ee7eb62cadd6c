// The blocks of 256 values ("K" types) as kernels open them; block_values.cc has the layouts. `c` counts within the block.
#pragma once

#include "kernels/cuda/readers.cuh"

namespace drover::cuda {

// Bits [shift, shift + n) of each of 8 bytes, where mask is n ones in each byte.
template <int kAlign>
__device__ inline uint64_t LoadBits(const std::byte* p, int shift, uint64_t mask) {
  return LoadEight<kAlign>(p) >> shift & mask;
}
inline constexpr uint64_t kOne = 0x0101010101010101ull, kTwo = 3 * kOne, kFour = 15 * kOne;

__device__ inline float ToFloat(unsigned code) { return static_cast<float>(code); }

struct ReadQ2_K : Form<84, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    const int c = static_cast<int>(column % 256);
    const uint64_t q = LoadBits<4>(block + 16 + c / 128 * 32 + c % 32, c % 128 / 32 * 2, kTwo);
    const unsigned scales = static_cast<unsigned>(block[c / 16]);
    const float d = F16(block + 80) * ToFloat(scales & 15), m = F16(block + 82) * ToFloat(scales >> 4);
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(d, ToFloat(ByteOf(q, i)), -m);
  }
};
struct ReadQ3_K : Form<110, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    const int c = static_cast<int>(column % 256);
    const uint64_t low = LoadBits<2>(block + 32 + c / 128 * 32 + c % 32, c % 128 / 32 * 2, kTwo);
    const uint64_t high = LoadBits<2>(block + c % 32, c / 32, kOne);
    const float d = F16(block + 108) * static_cast<float>(SixBitsSigned(block + 96, c / 16));
    for (int i = 0; i < kPiece; ++i) w[i] = d * (ToFloat(ByteOf(low, i) | ByteOf(high, i) << 2) - 4);
  }
};
struct ReadQ4_K : Form<144, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    const int c = static_cast<int>(column % 256);
    const uint64_t q = LoadBits<8>(block + 16 + c / 64 * 32 + c % 32, c % 64 / 32 * 4, kFour);
    const ScaleAndMin s = SixBits(block + 4, c / 32);
    const float d = F16(block) * static_cast<float>(s.scale), m = F16(block + 2) * static_cast<float>(s.minimum);
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(d, ToFloat(ByteOf(q, i)), -m);
  }
};
struct ReadQ5_K : Form<176, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    const int c = static_cast<int>(column % 256);
    const uint64_t low = LoadBits<8>(block + 48 + c / 64 * 32 + c % 32, c % 64 / 32 * 4, kFour);
    const uint64_t high = LoadBits<8>(block + 16 + c % 32, c / 32, kOne);
    const ScaleAndMin s = SixBits(block + 4, c / 32);
    const float d = F16(block) * static_cast<float>(s.scale), m = F16(block + 2) * static_cast<float>(s.minimum);
    for (int i = 0; i < kPiece; ++i) w[i] = fmaf(d, ToFloat(ByteOf(low, i) | ByteOf(high, i) << 4), -m);
  }
};
struct ReadQ6_K : Form<210, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    const int c = static_cast<int>(column % 256), half = c / 128, quarter = c % 128 / 32, l = c % 32;
    const uint64_t low = LoadBits<2>(block + half * 64 + quarter % 2 * 32 + l, quarter / 2 * 4, kFour);
    const uint64_t high = LoadBits<2>(block + 128 + half * 32 + l, 2 * quarter, kTwo);
    const float d = F16(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + c / 16]));
    for (int i = 0; i < kPiece; ++i) w[i] = d * (ToFloat(ByteOf(low, i) | ByteOf(high, i) << 4) - 32);
  }
};
struct ReadQ8_K : Form<292, 256> {
  static __device__ void Open(const std::byte* row, int64_t column, float* w) {
    const std::byte* block = Block(row, column);
    OpenBytes<4>(block + 4 + column % 256, *reinterpret_cast<const float*>(block), w);
  }
};

}  // namespace drover::cuda
