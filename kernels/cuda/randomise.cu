// Randomise: a thread for each block of values.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

struct Randomised {
  RandomMatrix values;
  std::byte* to;
  int64_t row_bytes, blocks;
  __device__ void operator()(int64_t i) const {
    values.Put(i / blocks, i % blocks, to + i / blocks * row_bytes + i % blocks * values.block_bytes);
  }
};

}  // namespace
}  // namespace cuda

void CudaOps::Randomise(const RandomMatrix& values, PackedWeight& weight) {
  DROVER_CHECK_EQ(weight.row_bytes % values.block_bytes, 0);
  const int64_t blocks = weight.row_bytes / values.block_bytes;
  cuda::ForEach(*device_, "Randomise", weight.rows * blocks, cuda::Randomised{values, weight.bytes.data(), weight.row_bytes, blocks});
}

}  // namespace drover
