// A stand-in for the header of this name: the lanes of a warp lay out their words, and each computes its four results from them.
#pragma once

#include "common/dtype.h"
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

}  // namespace drover::cuda
