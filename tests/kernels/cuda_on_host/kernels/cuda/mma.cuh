// A stand-in for the header of this name: the lanes of a warp lay out their words, and each computes its four results from them.
#pragma once

#include <cmath>

#include "common/check.h"
#include "common/dtype.h"
#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/launch.cuh"

namespace drover::cuda {

inline void MultiplyTile(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  const uint32_t own[6] = {a[0], a[1], a[2], a[3], b0, b1};
  uint32_t all[32][6];
  cuda_on_host::Gather(own, sizeof(own), all);
  const auto value = [](uint32_t word, unsigned k) { return BFloat16ToFloat(static_cast<uint16_t>(word >> 16 * (k % 2))); };
  const unsigned lane = cuda_on_host::Lane();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned word = k / 2 % 4, upper = k / 8;
      c[i] += value(all[row * 4 + word][2 * upper + i / 2], k) * value(all[column * 4 + word][4 + upper], k);
    }
  }
}

// What all lanes name; value(m, r, c) is then of row r and column c of matrix m.
struct NamedRows {
  const uint16_t* rows[32];
  explicit NamedRows(const uint16_t* row) {
    DROVER_CHECK_EQ(reinterpret_cast<uintptr_t>(row) % 16, 0u);
    cuda_on_host::Gather(&row, sizeof(row), rows);
  }
  unsigned Value(unsigned m, unsigned r, unsigned c) const { return rows[8 * m + r][c]; }
};

inline void LoadMatrices(const uint16_t* row, unsigned (&to)[4]) {
  const NamedRows named(row);
  const unsigned lane = cuda_on_host::Lane(), r = lane / 4, c = lane % 4 * 2;
  for (unsigned m = 0; m < 4; ++m) to[m] = named.Value(m, r, c) | named.Value(m, r, c + 1) << 16;
}

inline void LoadTransposed(const uint16_t* row, unsigned (&to)[4]) {
  const NamedRows named(row);
  const unsigned lane = cuda_on_host::Lane(), c = lane / 4, r = lane % 4 * 2;
  for (unsigned m = 0; m < 4; ++m) to[m] = named.Value(m, r, c) | named.Value(m, r + 1, c) << 16;
}

inline float QuickExp(float x) { return std::exp(x); }

}  // namespace drover::cuda
