// Measures cases on one CUDA device, between events on its stream.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "bench/cases.h"
#include "bench/report.h"
#include "kernels/cuda/cuda_ops.h"

namespace drover::bench {

struct Found {
  Limits limits;
  std::vector<Entry> entries;  // the limits first
};

// Errors: kUnavailable without a device; kResourceExhausted when not even the limits can be measured for want of memory. A case whose
// memory is not to be had is told as missing.
absl::StatusOr<Found> RunOnCuda(const Cases& cases, int device);

}  // namespace drover::bench
