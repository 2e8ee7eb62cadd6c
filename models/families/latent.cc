// Latent attention in DeepSeek's spelling.
#include <cmath>

#include "models/families/families.h"

namespace drover {

void ReadLatent(ConfigReader& config, const DecoderDefaults& defaults, LatentKv latent, ModelSpec& spec) {
  Attention& attention = spec.kinds[0].attention;
  const std::optional<int64_t> q_rank = config.MaybeInt("q_lora_rank", {1, 1 << 20});
  if (q_rank || config.IsNull("q_lora_rank")) latent.q_rank = q_rank;  // null says that queries pass no latent
  latent.kv_rank = config.IntOr("kv_lora_rank", latent.kv_rank, {1, 1 << 20});
  latent.nope_dim = config.IntOr("qk_nope_head_dim", latent.nope_dim, {1, 1 << 15});
  latent.value_dim = config.IntOr("v_head_dim", latent.value_dim, {1, 1 << 16});
  latent.down_bias = attention.out_bias;
  const int64_t rotated = config.IntOr("qk_rope_head_dim", 64, {1, 1 << 15});
  config.Ignore("qk_head_dim");  // the sum of the two
  config.Ignore("head_dim");
  attention.head_dim = latent.nope_dim + rotated;
  attention.kv_heads = 1;
  attention.qkv_bias = false;
  attention.rope = ReadRope(config, defaults.rotary_share ? attention.head_dim : rotated, defaults);
  attention.rope->pairing = config.BoolOr("rope_interleave", true) ? RopePairing::kInterleaved : RopePairing::kHalf;
  attention.scale = RopeSoftmaxFactor(config) / std::sqrt(static_cast<double>(attention.head_dim));
  attention.latent = latent;
}

}  // namespace drover
