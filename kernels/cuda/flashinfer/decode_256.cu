// Paged decode, heads of 256.
#include "kernels/cuda/flashinfer/decode.cuh"

namespace drover::cuda {
const FlashKernel kFlashDecode256 = {PlanDecode<256>, RunDecode<256>};
}
