// KvStore: the memory behind the ids that BlockPool hands out, for every layer: K and V as [blocks, block_tokens, own KV heads, head_dim],
// or, with latent attention, one row [rotated part | latent] a token, whose latent is the value too.
#pragma once

#include <vector>

#include "kernels/ops.h"
#include "models/shard.h"

namespace drover {

struct KvSize {
  int64_t blocks = 0, block_tokens = 0;
  DType type = DType::kF32;  // or bf16
};

class KvStore {
 public:
  // Zeros in `memory`, where attention computes. kResourceExhausted names the bytes that were wanted.
  static absl::StatusOr<KvStore> Create(const ModelSpec& spec, const RankCut& cut, const KvSize& size, Memory& memory);

  KvLayer Layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }
  int64_t bytes() const { return memory_.size(); }

 private:
  KvStore() = default;
  AlignedBytes memory_;
  std::vector<KvLayer> layers_;
};

}  // namespace drover
