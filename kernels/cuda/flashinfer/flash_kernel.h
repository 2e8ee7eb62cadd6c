// FlashKernel: one instantiation of FlashInfer's paged attention. Its files alone include FlashInfer's headers, and no exception of
// theirs gets out.
#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "kernels/cuda/flashinfer/flash_batch.h"

namespace drover::cuda {

// Empty: it went well.
using FlashError = std::string;

struct FlashCall {
  const FlashBatch* batch = nullptr;  // on the host
  // On the device: queries and results [rows, heads, head_dim] in bf16, the cache, and what `batch` says.
  uint16_t* q = nullptr;
  uint16_t* y = nullptr;
  KvLayer kv;
  int32_t* row_starts = nullptr;
  int32_t* block_starts = nullptr;
  int32_t* blocks = nullptr;
  int32_t* last_tokens = nullptr;
  int32_t heads = 0, kv_heads = 0;
  float scale = 1, softcap = 0;  // 0: none
  int32_t window = 0;            // 0: none
  cudaStream_t stream = nullptr;
};

// Room that a plan and its runs use; `pinned` is of the host and as large as `ints`, and is copied there on the stream.
struct FlashRoom {
  static constexpr size_t kFloatBytes = 128 << 20, kIntBytes = 1 << 20;
  std::byte* floats = nullptr;
  std::byte* ints = nullptr;
  std::byte* pinned = nullptr;
};

// How the work of a batch is shared out; it serves all layers of the same heads and window.
using FlashPlan = std::vector<int64_t>;

struct FlashKernel {
  FlashError (*plan)(const FlashCall& call, const FlashRoom& room, FlashPlan* plan);
  FlashError (*run)(const FlashCall& call, const FlashRoom& room, const FlashPlan& plan);
};

// A row of each sequence, by groups of at most 3 query heads (without tensor cores), or any rows.
extern const FlashKernel kFlashDecode64, kFlashDecode128, kFlashDecode256;
extern const FlashKernel kFlashPrefill64, kFlashPrefill128, kFlashPrefill256;

}  // namespace drover::cuda
