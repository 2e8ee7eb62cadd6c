// Paged attention of any rows, heads of 128.
#include "kernels/cuda/flashinfer/prefill.cuh"

namespace drover::cuda {
const FlashKernel kFlashPrefill128 = {PlanPrefill<128>, RunPrefill<128>};
}
