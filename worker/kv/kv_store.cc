// See kv_store.h.
#include "worker/kv/kv_store.h"

#include <cstdlib>

namespace drover {
namespace {
constexpr int64_t kBlocksMax = int64_t{1} << 31;  // ids are 32 bits
constexpr int64_t kBytesMax = int64_t{1} << 50;   // keeps the products below from overflowing
}  // namespace

void KvStore::Free::operator()(float* p) const { std::free(p); }

absl::StatusOr<KvStore> KvStore::Create(const ModelSpec& spec, const RankCut& cut, int64_t blocks, int64_t block_tokens) {
  if (blocks < 1 || blocks >= kBlocksMax) return InvalidArgument("kv_blocks: found ", blocks, ", expected 1 to ", kBlocksMax - 1);
  if (block_tokens < 1 || block_tokens > 4096) return InvalidArgument("block_tokens: found ", block_tokens, ", expected 1 to 4096");
  const int64_t per_token = KvBytesPerToken(spec, cut, sizeof(float));
  if (per_token > 0 && blocks * block_tokens > kBytesMax / per_token)
    return ResourceExhausted("KV cache: ", blocks, " blocks of ", block_tokens, " tokens at ", per_token, " bytes are too much");
  KvStore store;
  store.blocks_ = blocks;
  store.block_tokens_ = block_tokens;
  store.bytes_ = per_token * blocks * block_tokens;
  store.memory_.reset(static_cast<float*>(std::calloc(static_cast<size_t>(store.bytes_) / sizeof(float) + 1, sizeof(float))));
  if (store.memory_ == nullptr) return ResourceExhausted("KV cache: ", store.bytes_, " bytes could not be had");
  const Range own_layers = cut.Layers(spec);
  std::byte* next = std::as_writable_bytes(std::span(store.memory_.get(), static_cast<size_t>(store.bytes_) / sizeof(float))).data();
  for (int64_t i = 0; i < spec.layers(); ++i) {
    if (i < own_layers.begin || i >= own_layers.end) {
      store.layers_.push_back({});
      continue;
    }
    const Attention& attention = spec.layer(i).attention;
    const int64_t bytes = blocks * block_tokens * KvValues(attention, cut) * static_cast<int64_t>(sizeof(float));
    KvLayer layer{next, next + bytes / 2, block_tokens, cut.KvHeads(attention).size(), attention.head_dim};
    if (attention.latent) {  // [rotated part | latent]
      const int64_t rotated = attention.head_dim - attention.latent->nope_dim;
      layer.values = next + rotated * layer.element_bytes();
      layer.head_dim = rotated + attention.latent->kv_rank;
    }
    next += bytes;
    store.layers_.push_back(layer);
  }
  return store;
}

}  // namespace drover
