// What FlashInfer's kernels compute here: causal attention with a window and a soft cap where a call has them.
#pragma once

#include <cuda_bf16.h>

#include <flashinfer/attention/mask.cuh>
#include <flashinfer/attention/scheduler.cuh>
#include <flashinfer/attention/variant_helper.cuh>
#include <flashinfer/page.cuh>

#include "kernels/cuda/flashinfer/flash_kernel.h"

namespace drover::cuda {

struct FlashVariant : flashinfer::AttentionVariantBase {
  uint32_t qo_len, kv_len, window_left;
  float sm_scale_log2;
  float in_caps;  // what turns q·k into a score in units of the cap; 0: there is none

  template <class Params>
  __device__ __host__ FlashVariant(const Params& params, uint32_t sequence, uint8_t*)
      : qo_len(params.get_qo_len(sequence)), kv_len(params.get_kv_len(sequence)) {
    window_left = params.window_left >= 0 ? params.window_left : kv_len;
    in_caps = params.logits_soft_cap > 0 ? params.sm_scale / params.logits_soft_cap : 0;
    sm_scale_log2 = flashinfer::math::log2e * (in_caps > 0 ? params.logits_soft_cap : params.sm_scale);
  }

  template <class Params, class T>
  __device__ __forceinline__ T LogitsTransform(const Params&, T logits, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t) {
    return in_caps > 0 ? T(tanhf(float(logits) * in_caps)) : logits;
  }
  template <class Params>
  __device__ __forceinline__ bool LogitsMask(const Params&, uint32_t, uint32_t qo, uint32_t key, uint32_t, uint32_t) {
    return key + qo_len + window_left >= kv_len + qo;
  }
};

using FlashCache = flashinfer::paged_kv_t<__nv_bfloat16, int32_t>;

inline FlashCache CacheOf(const FlashCall& call) {
  return {static_cast<uint32_t>(call.kv_heads),
          static_cast<uint32_t>(call.kv.block_tokens),
          static_cast<uint32_t>(call.kv.head_dim),
          static_cast<uint32_t>(call.batch->sequences()),
          flashinfer::QKVLayout::kNHD,
          reinterpret_cast<__nv_bfloat16*>(call.kv.keys),
          reinterpret_cast<__nv_bfloat16*>(call.kv.values),
          call.blocks,
          call.block_starts,
          call.last_tokens};
}

// What both kinds of parameters have.
template <class Params>
void SetCommon(const FlashCall& call, Params& params) {
  params.q = reinterpret_cast<__nv_bfloat16*>(call.q);
  params.o = reinterpret_cast<__nv_bfloat16*>(call.y);
  params.paged_kv = CacheOf(call);
  params.num_qo_heads = call.heads;
  params.q_stride_n = static_cast<int32_t>(call.heads * call.kv.head_dim);
  params.q_stride_h = static_cast<int32_t>(call.kv.head_dim);
  params.window_left = call.window > 0 ? call.window - 1 : -1;
  params.logits_soft_cap = call.softcap;
  params.sm_scale = call.scale;
}

// Runs f, and tells what went wrong; the next launch does not find it again.
template <class F>
FlashError Guarded(const F& f) {
  try {
    const cudaError_t error = f();
    if (error == cudaSuccess) return {};
    cudaGetLastError();
    return cudaGetErrorString(error);
  } catch (const std::exception& error) {
    return error.what();
  }
}

template <class T>
T* At(std::byte* base, int64_t offset) {
  return reinterpret_cast<T*>(base + offset);
}

}  // namespace drover::cuda
