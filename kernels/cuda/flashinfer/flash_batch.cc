// See flash_batch.h.
#include "kernels/cuda/flashinfer/flash_batch.h"

namespace drover::cuda {

std::optional<FlashBatch> MakeFlashBatch(std::span<const SequenceRows> sequences, int64_t block_tokens) {
  FlashBatch batch{{0}, {0}, {}, {}};
  for (const SequenceRows& sequence : sequences) {
    if (sequence.rows < 1 || sequence.first_row != batch.rows()) return std::nullopt;
    const int64_t keys = sequence.position + sequence.rows, blocks = (keys + block_tokens - 1) / block_tokens;
    if (blocks > static_cast<int64_t>(sequence.blocks.size())) return std::nullopt;
    batch.blocks.insert(batch.blocks.end(), sequence.blocks.begin(), sequence.blocks.begin() + blocks);
    batch.row_starts.push_back(static_cast<int32_t>(sequence.first_row + sequence.rows));
    batch.block_starts.push_back(static_cast<int32_t>(batch.blocks.size()));
    batch.last_tokens.push_back(static_cast<int32_t>(keys - (blocks - 1) * block_tokens));
  }
  if (sequences.empty()) return std::nullopt;
  return batch;
}

bool FlashCovers(const KvLayer& kv, const AttentionShape& shape) {
  const bool size = shape.head_dim == 64 || shape.head_dim == 128 || shape.head_dim == 256;
  const bool whole_groups = shape.heads == shape.kv_heads * shape.group && shape.first_head == shape.first_kv_head * shape.group;
  const bool own_values = shape.ValueDim() == shape.head_dim && kv.head_dim == shape.head_dim && kv.kv_heads == shape.kv_heads;
  const bool plain = shape.chunk == 0 && shape.sinks.empty() && shape.slopes.empty();
  return kv.type == DType::kBF16 && size && whole_groups && own_values && plain;
}

}  // namespace drover::cuda
