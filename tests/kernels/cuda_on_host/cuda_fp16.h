// A stand-in for CUDA's own header of this name: see cuda_runtime_api.h beside it.
#pragma once

#include "common/dtype.h"

struct __half {
  uint16_t bits;
};
inline float __half2float(__half value) { return drover::HalfToFloat(value.bits); }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
