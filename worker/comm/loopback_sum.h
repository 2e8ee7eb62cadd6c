// The sum of LoopbackCommunicator: one kernel over the buffers of all ranks.
#pragma once

#include <span>

#include "kernels/cuda/device.h"

namespace drover {

inline constexpr int64_t kLoopbackRanksMax = 16;

// b[i] ← Σ_r buffers[r][i], added in rank order, for every buffer b and begin ≤ i < end. Queued on the device's stream.
void SumIntoAll(CudaDevice& device, std::span<float* const> buffers, int64_t begin, int64_t end);

}  // namespace drover
