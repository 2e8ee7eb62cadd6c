// Element-wise operations: activations and their products, sums, scales, clamps and caps.
#include "common/check.h"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

struct Activation {
  GateKind kind;
  float* x;
  __device__ void operator()(int64_t i) const { x[i] = Activated(kind, x[i]); }
};
struct Gated {
  GateKind kind;
  const float *gate, *up;
  float* y;
  __device__ void operator()(int64_t i) const { y[i] = Activated(kind, gate[i]) * up[i]; }
};
struct Sigmoids {
  float* x;
  __device__ void operator()(int64_t i) const { x[i] = SigmoidOf(x[i]); }
};
// See Ops::ClampedPairs.
struct Pairs {
  float alpha, limit;
  const float* x;
  float* y;
  __device__ void operator()(int64_t i) const { y[i] = ClampedPair(alpha, limit, x[2 * i], x[2 * i + 1]); }
};
struct Added {
  const float* a;
  float* x;
  __device__ void operator()(int64_t i) const { x[i] += a[i]; }
};
struct Clamped {
  float limit;
  float* x;
  __device__ void operator()(int64_t i) const { x[i] = Within(x[i], limit); }
};
struct Scaled {
  float factor;
  float* x;
  __device__ void operator()(int64_t i) const { x[i] *= factor; }
};
struct Capped {
  float cap;
  float* x;
  __device__ void operator()(int64_t i) const { x[i] = cap * tanhf(x[i] / cap); }
};

}  // namespace
}  // namespace cuda

void CudaOps::Activate(GateKind kind, Tensor x) { cuda::ForEach(*device_, "Activate", x.size(), cuda::Activation{kind, x.data}); }

void CudaOps::GatedProduct(GateKind kind, Tensor gate, Tensor up, Tensor y) {
  DROVER_CHECK(gate.size() == up.size() && gate.size() == y.size());
  cuda::ForEach(*device_, "GatedProduct", y.size(), cuda::Gated{kind, gate.data, up.data, y.data});
}

void CudaOps::Sigmoid(Tensor x) { cuda::ForEach(*device_, "Sigmoid", x.size(), cuda::Sigmoids{x.data}); }

void CudaOps::ClampedPairs(float alpha, float limit, Tensor x, Tensor y) {
  DROVER_CHECK(x.size() == 2 * y.size() && x.rows == y.rows);
  cuda::ForEach(*device_, "ClampedPairs", y.size(), cuda::Pairs{alpha, limit, x.data, y.data});
}

void CudaOps::Add(Tensor a, Tensor x) {
  DROVER_CHECK_EQ(a.size(), x.size());
  cuda::ForEach(*device_, "Add", x.size(), cuda::Added{a.data, x.data});
}

void CudaOps::Clamp(float limit, Tensor x) { cuda::ForEach(*device_, "Clamp", x.size(), cuda::Clamped{limit, x.data}); }
void CudaOps::Scale(float factor, Tensor x) { cuda::ForEach(*device_, "Scale", x.size(), cuda::Scaled{factor, x.data}); }
void CudaOps::SoftCap(float cap, Tensor x) { cuda::ForEach(*device_, "SoftCap", x.size(), cuda::Capped{cap, x.data}); }

}  // namespace drover
