// FlashAttention of a build without FlashInfer's headers.
#include "kernels/cuda/flash_attention.h"

namespace drover {

bool HasFlashAttention() { return false; }

absl::StatusOr<std::unique_ptr<FlashAttention>> MakeFlashAttention(CudaDevice&, CudaMemory&) {
  return Unimplemented("attention: found flashinfer, expected own: this build has no FlashInfer");
}

}  // namespace drover
