// The activations of feed-forward networks, one value at a time.
#pragma once

#include "kernels/cuda/launch.cuh"
#include "kernels/ffn.h"

namespace drover::cuda {

__device__ inline float SigmoidOf(float x) { return 1 / (1 + expf(-x)); }
__device__ inline float Within(float x, float limit) { return x < -limit ? -limit : x > limit ? limit : x; }

// silu(g) = g / (1 + exp(-g)); gelu(g) = g/2·(1 + erf(g/√2)) = g/2·erfc(-g/√2); its tanh form g/2·(1 + tanh z) = g / (1 + exp(-2z))
// with z = √(2/π)·(g + 0.044715·g³); relu(g) = max(g, 0). Far below 0 the forms on the right lose no digits.
__device__ inline float Activated(GateKind kind, float g) {
  if (kind == GateKind::kSilu) return g / (1 + expf(-g));
  if (kind == GateKind::kGelu) return g / 2 * erfcf(g * -0.70710678f);
  if (kind == GateKind::kGeluTanh) return g / (1 + expf(-1.5957691216f * fmaf(0.044715f * g * g, g, g)));
  return g < 0 ? 0 : g;  // NaN stays NaN, here and below
}

// (u + 1)·g·sigmoid(alpha·g) of a clamped pair (g, u).
__device__ inline float ClampedPair(float alpha, float limit, float gate, float up) {
  const float g = gate > limit ? limit : gate, u = Within(up, limit);
  return (u + 1) * g / (1 + expf(-alpha * g));
}

}  // namespace drover::cuda
