// Paged decode, heads of 64.
#include "kernels/cuda/flashinfer/decode.cuh"

namespace drover::cuda {
const FlashKernel kFlashDecode64 = {PlanDecode<64>, RunDecode<64>};
}
