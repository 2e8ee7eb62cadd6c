// FlashInfer's paged attention of any rows (FA2, on tensor cores) for heads of kDim.
#pragma once

#include <flashinfer/attention/default_prefill_params.cuh>
#include <flashinfer/attention/prefill.cuh>

#include "kernels/cuda/flashinfer/variant.cuh"

namespace drover::cuda {

struct FlashPrefillParams : flashinfer::BatchPrefillPagedParams<__nv_bfloat16, __nv_bfloat16, __nv_bfloat16, int32_t> {};

template <uint32_t kDim>
FlashError PlanPrefill(const FlashCall& call, const FlashRoom& room, FlashPlan* plan) {
  flashinfer::PrefillPlanInfo info;
  const FlashError error = Guarded([&] {
    std::vector<int32_t> rows = call.batch->row_starts, blocks = call.batch->block_starts;
    return flashinfer::PrefillPlan<int32_t>(
        room.floats, FlashRoom::kFloatBytes, room.ints, room.pinned, FlashRoom::kIntBytes, info, rows.data(), blocks.data(),
        call.batch->rows(), call.batch->sequences(), call.heads, call.kv_heads, kDim, kDim, static_cast<uint32_t>(call.kv.block_tokens),
        /*enable_cuda_graph=*/false, sizeof(__nv_bfloat16), call.window > 0 ? call.window - 1 : -1, /*fixed_split_size=*/-1,
        /*disable_split_kv=*/false, /*num_colocated_ctas=*/0, /*uniform_q_len=*/0, call.stream);
  });
  *plan = info.ToVector();
  return error;
}

template <uint32_t kDim, uint32_t kTileRows>
cudaError_t RunTiles(const FlashPrefillParams& params, __nv_bfloat16* values, float* sums, cudaStream_t stream) {
  return flashinfer::BatchPrefillWithPagedKVCacheDispatched</*SAME_KV_STRIDES=*/true, kTileRows, kDim, kDim,
                                                            flashinfer::PosEncodingMode::kNone, /*USE_FP16_QK_REDUCTION=*/false,
                                                            flashinfer::MaskMode::kCausal, FlashVariant>(params, values, sums,
                                                                                                         /*enable_pdl=*/false, stream);
}

template <uint32_t kDim>
FlashError RunPrefill(const FlashCall& call, const FlashRoom& room, const FlashPlan& plan) {
  return Guarded([&] {
    flashinfer::PrefillPlanInfo info;
    info.FromVector(plan);
    FlashPrefillParams params;
    SetCommon(call, params);
    params.q_indptr = call.row_starts;
    params.group_size = flashinfer::uint_fastdiv(call.heads / call.kv_heads);
    params.request_indices = At<int32_t>(room.ints, info.request_indices_offset);
    params.qo_tile_indices = At<int32_t>(room.ints, info.qo_tile_indices_offset);
    params.kv_tile_indices = At<int32_t>(room.ints, info.kv_tile_indices_offset);
    params.o_indptr = At<int32_t>(room.ints, info.o_indptr_offset);
    params.kv_chunk_size_ptr = At<int32_t>(room.ints, info.kv_chunk_size_ptr_offset);
    params.padded_batch_size = static_cast<uint32_t>(info.padded_batch_size);
    params.max_total_num_rows = static_cast<uint32_t>(info.total_num_rows);
    if (info.split_kv) params.merge_indptr = At<int32_t>(room.ints, info.merge_indptr_offset);
    __nv_bfloat16* values = info.split_kv ? At<__nv_bfloat16>(room.floats, info.v_offset) : nullptr;
    float* sums = info.split_kv ? At<float>(room.floats, info.s_offset) : nullptr;
    switch (info.cta_tile_q) {
      case 16: return RunTiles<kDim, 16>(params, values, sums, call.stream);
      case 64: return RunTiles<kDim, 64>(params, values, sums, call.stream);
      case 128: return RunTiles<kDim, 128>(params, values, sums, call.stream);
    }
    return cudaErrorInvalidValue;
  });
}

}  // namespace drover::cuda
