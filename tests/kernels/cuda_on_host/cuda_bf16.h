// A stand-in for CUDA's own header of this name: see cuda_runtime_api.h beside it.
#pragma once

#include <cuda_runtime_api.h>

#include "common/dtype.h"

struct alignas(4) __nv_bfloat162 {
  uint16_t x, y;
};
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {drover::FloatToBFloat16(x), drover::FloatToBFloat16(y)}; }
