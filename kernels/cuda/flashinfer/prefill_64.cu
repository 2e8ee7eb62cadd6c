// Paged attention of any rows, heads of 64.
#include "kernels/cuda/flashinfer/prefill.cuh"

namespace drover::cuda {
const FlashKernel kFlashPrefill64 = {PlanPrefill<64>, RunPrefill<64>};
}
