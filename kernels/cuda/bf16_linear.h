// Bf16Linear: Linear with weights and activations rounded to bf16, on tensor cores. Up to 8 tokens, and up to 32 over weights that are
// not stored in bf16, an own kernel reads the weight in its storage form; beyond, the library multiplies. Owns the rounded activations
// of one tensor and room for a part of one opened weight.
#pragma once

#include <memory>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/matmul.h"

namespace drover {

// How products are made of weights of one form with some tokens.
enum class Bf16Way { kNone, kFew, kLibrary };

class Bf16Linear {
 public:
  // Errors name the option that is missing, or the bytes that were wanted.
  static absl::StatusOr<std::unique_ptr<Bf16Linear>> Create(const CudaOptions& options, CudaDevice& device, CudaMemory& memory);

  Bf16Way WayOf(DType dtype, Tensor x) const;
  // kFew: see SmallBatch. Weights, here and below, are not empty and of the form that was asked for.
  void RunFew(std::span<const LinearPart> parts, Tensor x);
  // kLibrary. False: y is for the caller to compute, in full.
  bool Run(const LinearPart& part, Tensor x);

 private:
  Bf16Linear(CudaDevice& device, std::unique_ptr<Matmul> matmul, AlignedBytes activations, AlignedBytes tile)
      : device_(device), matmul_(std::move(matmul)), activations_(std::move(activations)), tile_(std::move(tile)) {}

  // The rounded x; once for all consecutive calls with one x.
  const uint16_t* Rounded(Tensor x, int64_t stride);
  bool Multiply(MatmulTask task);
  // Opens a part of the weight and multiplies by it, until all is done.
  bool RunOpened(const PackedWeight& weight, MatmulTask task);

  CudaDevice& device_;
  const std::unique_ptr<Matmul> matmul_;
  AlignedBytes activations_, tile_;
  // What activations_ holds, as long as the device was given no other work since.
  Tensor held_;
  uint64_t held_work_ = 0;
};

}  // namespace drover
