// Ranks on one CUDA device, which meet through it: what the tests of the decoder over CUDA share.
#pragma once

#include "kernels/cuda/cuda_ops.h"
#include "tests/support/thread_group.h"
#include "worker/comm/loopback_communicator.h"

namespace drover {

// `attend_bytes`: see CudaOptions.
inline ThreadGroup::Computes OnCuda(CudaCompute compute = CudaCompute::kF32, int64_t attend_bytes = CudaOptions{}.attend_bytes) {
  ThreadGroup::Computes computes;
  computes.make_ops = [compute, attend_bytes](const OpsBounds& bounds) -> absl::StatusOr<std::unique_ptr<Ops>> {
    return CudaOps::Create({.compute = compute, .tokens = bounds.tokens, .cols = bounds.cols, .attend_bytes = attend_bytes});
  };
  computes.make_ranks = [](std::span<const std::unique_ptr<Ops>> all) -> absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> {
    if (all.size() == 1) return std::vector<std::unique_ptr<Communicator>>(1);
    std::vector<CudaDevice*> devices;
    for (const std::unique_ptr<Ops>& ops : all) devices.push_back(&static_cast<CudaOps&>(*ops).device());
    return LoopbackCommunicator::MakeGroup(devices);
  };
  return computes;
}

}  // namespace drover
