// MakeMatmul of a build without cuBLASLt.
#include "kernels/cuda/matmul.h"

namespace drover {

absl::StatusOr<std::unique_ptr<Matmul>> MakeMatmul(CudaDevice&, CudaMemory&) {
  return Unimplemented("compute: found bf16, expected f32: this build has no cuBLASLt");
}

}  // namespace drover
