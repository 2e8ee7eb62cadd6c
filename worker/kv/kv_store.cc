// See kv_store.h.
#include "worker/kv/kv_store.h"

namespace drover {
namespace {
constexpr int64_t kBlocksMax = int64_t{1} << 31;  // ids are 32 bits
constexpr int64_t kBytesMax = int64_t{1} << 50;   // keeps the products below from overflowing
}  // namespace

absl::StatusOr<KvStore> KvStore::Create(const ModelSpec& spec, const RankCut& cut, const KvSize& size, Memory& memory) {
  const int64_t blocks = size.blocks, block_tokens = size.block_tokens;
  if (blocks < 1 || blocks >= kBlocksMax) return InvalidArgument("kv_blocks: found ", blocks, ", expected 1 to ", kBlocksMax - 1);
  if (block_tokens < 1 || block_tokens > 4096) return InvalidArgument("block_tokens: found ", block_tokens, ", expected 1 to 4096");
  if (size.type != DType::kF32 && size.type != DType::kBF16)
    return InvalidArgument("kv: found ", Name(size.type), ", expected f32 or bf16");
  const int64_t element_bytes = Info(size.type).bytes, per_token = KvBytesPerToken(spec, cut, element_bytes);
  if (per_token > 0 && blocks * block_tokens > kBytesMax / per_token)
    return ResourceExhausted("KV cache: ", blocks, " blocks of ", block_tokens, " tokens at ", per_token, " bytes are too much");
  KvStore store;
  absl::StatusOr<AlignedBytes> bytes = memory.AllocateZeros(per_token * blocks * block_tokens);
  if (!bytes.ok()) return Annotate(bytes.status(), "KV cache");
  store.memory_ = *std::move(bytes);
  const Range own_layers = cut.Layers(spec);
  std::byte* next = store.memory_.data();
  for (int64_t i = 0; i < spec.layers(); ++i) {
    if (i < own_layers.begin || i >= own_layers.end) {
      store.layers_.push_back({});
      continue;
    }
    const Attention& attention = spec.layer(i).attention;
    const int64_t layer_bytes = blocks * block_tokens * KvValues(attention, cut) * element_bytes;
    KvLayer layer{next, next + layer_bytes / 2, block_tokens, cut.KvHeads(attention).size(), attention.head_dim, size.type};
    if (attention.latent) {  // [rotated part | latent]
      const int64_t rotated = attention.head_dim - attention.latent->nope_dim;
      layer.values = next + rotated * element_bytes;
      layer.head_dim = rotated + attention.latent->kv_rank;
    }
    next += layer_bytes;
    store.layers_.push_back(layer);
  }
  return store;
}

}  // namespace drover
