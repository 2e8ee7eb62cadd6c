// FlashAttention: paged attention by FlashInfer's kernels: queries and results rounded to bf16, sums in f32. It shares the work of a
// batch out by the whole batch, so that a row's last bits depend on the rows beside it.
#pragma once

#include <memory>

#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace drover {

class FlashAttention {
 public:
  virtual ~FlashAttention() = default;
  // Names the sequences of the step that begins.
  virtual void Begin(std::span<const SequenceRows> sequences) = 0;
  // False: these kernels do not cover it, or its plan needs more room than there is; y is for the caller to compute, in full. Other
  // failures are kept by the device.
  virtual bool Run(Tensor q, const KvLayer& kv, const AttentionShape& shape, Tensor y) = 0;
};

bool HasFlashAttention();  // in this build
// kUnimplemented where the build has none; kResourceExhausted without room for its plans.
absl::StatusOr<std::unique_ptr<FlashAttention>> MakeFlashAttention(CudaDevice& device, CudaMemory& memory);

}  // namespace drover
