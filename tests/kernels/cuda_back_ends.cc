// The CUDA back end, for the parity tests, with fresh inputs in each run; --gtest_random_seed repeats one.
#include <iostream>

#include "kernels/cuda/cuda_ops.h"
#include "tests/kernels/near_ops.h"
#include "tests/kernels/random_tensors.h"

namespace drover {

std::vector<std::string> BackEndsHere() { return {"cuda"}; }

std::unique_ptr<Ops> OpsOf(const std::string&, int64_t) {
  absl::StatusOr<std::unique_ptr<CudaOps>> ops = CudaOps::Create({.wait_for_each = true});
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
