// The CUDA back end in f32 and bf16, for the parity tests, with fresh inputs in each run; --gtest_random_seed repeats one.
#include <iostream>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/flash_attention.h"
#include "tests/kernels/near_ops.h"
#include "tests/kernels/random_tensors.h"

namespace drover {

std::vector<std::string> BackEndsHere() { return {"cuda"}; }
std::vector<std::string> AttendBackEndsHere() {
  if (!HasFlashAttention()) return {"cuda", "cuda_bf16"};
  return {"cuda", "cuda_bf16", "cuda_flashinfer"};
}
AttendPromise AttendPromiseOf(const std::string& back_end) {
  if (back_end == "cuda") return {};
  return {.tolerance = 1e-2, .same_bits = back_end == "cuda_bf16" ? 8 : 0};
}
std::vector<std::string> LinearBackEndsHere() { return {"cuda", "cuda_bf16"}; }

LinearPromise PromiseOf(const std::string& back_end) {
  if (back_end == "cuda") return {};
  return {.tolerance = 1e-2, .same_bits = CudaOps::kFewTokens};
}

std::unique_ptr<Ops> OpsOf(const std::string& back_end, int64_t) {
  CudaOptions options{.wait_for_each = true};
  if (back_end == "cuda_bf16") {
    options.compute = CudaCompute::kBF16;
    options.tokens = 128;
    options.cols = 2048;
    options.tile_bytes = 80 << 10;  // so that weights are opened in parts
    options.attend_blocks = 6;      // so that both sizes of attention's blocks are met
  }
  options.flashinfer = back_end == "cuda_flashinfer";
  absl::StatusOr<std::unique_ptr<CudaOps>> ops = CudaOps::Create(options);
  if (absl::IsUnavailable(ops.status())) return nullptr;
  EXPECT_TRUE(ops.ok()) << ops.status();
  return std::make_unique<NearOps>(*std::move(ops));
}

uint32_t RunSeed() {
  static const uint32_t seed = [] {
    const auto asked = static_cast<uint32_t>(testing::GTEST_FLAG(random_seed));
    const uint32_t chosen = asked != 0 ? asked : std::random_device()() % 99999 + 1;  // what the flag can hold
    std::cout << "random seed: " << chosen << std::endl;
    return chosen;
  }();
  return seed;
}

}  // namespace drover
