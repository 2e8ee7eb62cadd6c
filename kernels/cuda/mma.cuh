// One step of a tensor core: bf16 products of a warp with f32 sums; what comes before and after it.
#pragma once

#include <cstdint>

#include "kernels/cuda/async_copy.cuh"
#include "kernels/cuda/launch.cuh"

namespace drover::cuda {

// c ← c + A·B with A [16, 16] and B [16, 8]. Lane l holds, in words of two columns (rows of B) each: of row l/4 of A the words l%4
// and l%4 + 4 as a[0] and a[2], of row l/4 + 8 the same as a[1] and a[3]; of column l/4 of B the same words as b0 and b1; of c the
// columns 2·(l%4) and the next in rows l/4 (c[0], c[1]) and l/4 + 8 (c[2], c[3]). The whole warp calls it.
__device__ inline void MultiplyTile(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four matrices of 8 x 8 values from shared memory. Lane l names row l%8 of matrix l/8, 16 bytes at a multiple of 16, and gets of each
// matrix m the values 2·(l%4) and the next of row l/4 in to[m]. The whole warp calls it.
__device__ inline void LoadMatrices(const uint16_t* row, unsigned (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(SharedAddress(row))
               : "memory");
}
// The same of each matrix transposed: of column l/4 the rows 2·(l%4) and the next.
__device__ inline void LoadTransposed(const uint16_t* row, unsigned (&to)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// e to the power of x, within 2^-21 of it and |x|·2^-24; below 2^-126 zero.
__device__ inline float QuickExp(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(1.44269504f * x));
  return power;
}

}  // namespace drover::cuda
