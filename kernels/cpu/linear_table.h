// Which reader opens which dtype, for the lanes L of one instruction set.
#pragma once

#include <array>

#include "kernels/cpu/group_readers.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/super_block_readers.h"

namespace drover::cpu {

template <class L>
constexpr std::array<LinearKernel, kDTypes> LinearKernels() {
  std::array<LinearKernel, kDTypes> kernels = {};
  const auto set = [&kernels](DType dtype, LinearKernel kernel) { kernels[static_cast<size_t>(dtype)] = kernel; };
  set(DType::kF32, Linear<L, ReadF32<L>>);
  set(DType::kF16, Linear<L, ReadF16<L>>);
  set(DType::kBF16, Linear<L, ReadBF16<L>>);
  set(DType::kQ8_0, Linear<L, ReadQ8_0<L>>);
  set(DType::kQ8_1, Linear<L, ReadQ8_1<L>>);
  set(DType::kQ4_0, Linear<L, ReadQ4_0<L>>);
  set(DType::kQ4_1, Linear<L, ReadQ4_1<L>>);
  set(DType::kQ5_0, Linear<L, ReadQ5_0<L>>);
  set(DType::kQ5_1, Linear<L, ReadQ5_1<L>>);
  set(DType::kQ2_K, Linear<L, ReadQ2_K<L>>);
  set(DType::kQ3_K, Linear<L, ReadQ3_K<L>>);
  set(DType::kQ4_K, Linear<L, ReadQ4_K<L>>);
  set(DType::kQ5_K, Linear<L, ReadQ5_K<L>>);
  set(DType::kQ6_K, Linear<L, ReadQ6_K<L>>);
  set(DType::kQ8_K, Linear<L, ReadQ8_K<L>>);
  set(DType::kMxfp4, Linear<L, ReadMxfp4<L>>);
  set(DType::kU4, Linear<L, ReadU4<L, false>>);
  set(DType::kU8, Linear<L, ReadU8<L, false>>);
  set(DType::kF8E4M3, Linear<L, ReadF8<L, false>>);
  set(DType::kE2M1, Linear<L, ReadE2M1<L, false>>);
  set(DType::kNF4, Linear<L, ReadNF4<L, false>>);
  return kernels;
}

template <class L>
constexpr std::array<LinearKernel, kDTypes> LinearKernelsByColumn() {
  std::array<LinearKernel, kDTypes> kernels = {};
  const auto set = [&kernels](DType dtype, LinearKernel kernel) { kernels[static_cast<size_t>(dtype)] = kernel; };
  set(DType::kU4, Linear<L, ReadU4<L, true>>);
  set(DType::kU8, Linear<L, ReadU8<L, true>>);
  set(DType::kF8E4M3, Linear<L, ReadF8<L, true>>);
  set(DType::kE2M1, Linear<L, ReadE2M1<L, true>>);
  set(DType::kNF4, Linear<L, ReadNF4<L, true>>);
  return kernels;
}

}  // namespace drover::cpu
