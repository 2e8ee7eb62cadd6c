// Paged decode, heads of 128.
#include "kernels/cuda/flashinfer/decode.cuh"

namespace drover::cuda {
const FlashKernel kFlashDecode128 = {PlanDecode<128>, RunDecode<128>};
}
