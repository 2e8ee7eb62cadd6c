// FlashBatch: a step's sequences as FlashInfer's kernels take them, and which attention those kernels cover. No CUDA here.
#pragma once

#include <optional>
#include <vector>

#include "kernels/ops.h"

namespace drover::cuda {

// Entry s and the one after it bound sequence s. Rows of the step's tensors and, of its blocks, those that hold its keys.
struct FlashBatch {
  std::vector<int32_t> row_starts, block_starts;
  std::vector<int32_t> blocks;
  std::vector<int32_t> last_tokens;  // keys in each sequence's last block

  int32_t sequences() const { return static_cast<int32_t>(last_tokens.size()); }
  int32_t rows() const { return row_starts.back(); }
  bool one_row_each() const { return rows() == sequences(); }
};

// None: rows are not the sequences' one after the other from row 0 on, or a sequence has none.
std::optional<FlashBatch> MakeFlashBatch(std::span<const SequenceRows> sequences, int64_t block_tokens);

// bf16 keys and values of their own, whole groups, heads of 64, 128 or 256; windows and soft caps, but no chunks, sinks or biases.
bool FlashCovers(const KvLayer& kv, const AttentionShape& shape);

}  // namespace drover::cuda
