// FlashInfer's paged decode attention for heads of kDim.
#pragma once

#include <flashinfer/attention/decode.cuh>
#include <flashinfer/attention/default_decode_params.cuh>

#include "kernels/cuda/flashinfer/variant.cuh"

namespace drover::cuda {

struct FlashDecodeParams : flashinfer::BatchDecodeParams<__nv_bfloat16, __nv_bfloat16, __nv_bfloat16, int32_t> {};
inline constexpr auto kNoRope = flashinfer::PosEncodingMode::kNone;

template <uint32_t kDim, uint32_t kGroup>
cudaError_t PlanDecodeOfGroup(const FlashCall& call, const FlashRoom& room, flashinfer::DecodePlanInfo& info) {
  std::vector<int32_t> starts = call.batch->block_starts;
  return flashinfer::DecodePlan<kDim, kNoRope, FlashVariant, FlashDecodeParams>(
      room.floats, FlashRoom::kFloatBytes, room.ints, room.pinned, FlashRoom::kIntBytes, info, starts.data(), call.batch->sequences(),
      call.heads, static_cast<uint32_t>(call.kv.block_tokens), false, call.stream,
      flashinfer::BatchDecodeWithPagedKVCacheWorkEstimationDispatched<kGroup, kDim, kNoRope, FlashVariant, FlashDecodeParams>);
}

template <uint32_t kDim>
FlashError PlanDecode(const FlashCall& call, const FlashRoom& room, FlashPlan* plan) {
  flashinfer::DecodePlanInfo info;
  const FlashError error = Guarded([&] {
    switch (call.heads / call.kv_heads) {
      case 1: return PlanDecodeOfGroup<kDim, 1>(call, room, info);
      case 2: return PlanDecodeOfGroup<kDim, 2>(call, room, info);
      case 3: return PlanDecodeOfGroup<kDim, 3>(call, room, info);
    }
    return cudaErrorInvalidValue;
  });
  *plan = info.ToVector();
  return error;
}

template <uint32_t kDim>
FlashError RunDecode(const FlashCall& call, const FlashRoom& room, const FlashPlan& plan) {
  return Guarded([&] {
    flashinfer::DecodePlanInfo info;
    info.FromVector(plan);
    FlashDecodeParams params;
    SetCommon(call, params);
    params.request_indices = At<int32_t>(room.ints, info.request_indices_offset);
    params.kv_tile_indices = At<int32_t>(room.ints, info.kv_tile_indices_offset);
    params.o_indptr = At<int32_t>(room.ints, info.o_indptr_offset);
    params.kv_chunk_size_ptr = At<int32_t>(room.ints, info.kv_chunk_size_ptr_offset);
    params.padded_batch_size = static_cast<uint32_t>(info.padded_batch_size);
    __nv_bfloat16* values = info.split_kv ? At<__nv_bfloat16>(room.floats, info.v_offset) : nullptr;
    float* sums = info.split_kv ? At<float>(room.floats, info.s_offset) : nullptr;
    return flashinfer::BatchDecodeWithPagedKVCacheDispatched<kDim, kNoRope, FlashVariant>(params, values, sums, false, call.stream);
  });
}

}  // namespace drover::cuda
