// Paged attention of any rows, heads of 256.
#include "kernels/cuda/flashinfer/prefill.cuh"

namespace drover::cuda {
const FlashKernel kFlashPrefill256 = {PlanPrefill<256>, RunPrefill<256>};
}
