// KvStore: the memory behind the ids that BlockPool hands out, for every layer: K and V as [blocks, block_tokens, own KV heads, head_dim],
// or, with latent attention, one row [rotated part | latent] a token, whose latent is the value too.
#pragma once

#include <memory>
#include <vector>

#include "kernels/ops.h"
#include "models/shard.h"

namespace drover {

class KvStore {
 public:
  // Pages are zero and taken from the system when first touched. kResourceExhausted names the bytes that were wanted.
  static absl::StatusOr<KvStore> Create(const ModelSpec& spec, const RankCut& cut, int64_t blocks, int64_t block_tokens);

  KvLayer Layer(int64_t layer) const { return layers_[static_cast<size_t>(layer)]; }
  int64_t blocks() const { return blocks_; }
  int64_t block_tokens() const { return block_tokens_; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  KvStore() = default;
  std::unique_ptr<float[], Free> memory_;
  std::vector<KvLayer> layers_;
  int64_t blocks_ = 0, block_tokens_ = 0, bytes_ = 0;
};

}  // namespace drover
