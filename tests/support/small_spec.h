// A model for tests that need all parts of a decoder and no checkpoint.
#pragma once

#include "models/spec.h"

namespace drover {

// A small model with everything in it: grouped heads, window, a routed layer with shared expert, a layer without RoPE, a layer of
// latent attention with clamped experts chosen by groups.
inline ModelSpec SmallSpec() {
  ModelSpec spec;
  spec.family = "llama";
  spec.hidden = 64;
  spec.vocab = 97;
  spec.max_positions = 256;
  LayerKind dense;
  dense.attention = {.heads = 6, .kv_heads = 2, .head_dim = 16, .rope = Rope{.dims = 16}, .window = 11, .scale = 0.25};
  dense.ffn.hidden = 96;
  LayerKind routed = dense;
  routed.attention.window.reset();
  routed.attention.rope.reset();
  routed.ffn = {.experts = Experts{.count = 5, .active = 2, .hidden = 32, .shared_hidden = 32}};
  LayerKind latent = routed;
  latent.attention.kv_heads = 1;
  latent.attention.rope = Rope{.pairing = RopePairing::kInterleaved, .dims = 4};
  latent.attention.temperature = QueryTemperature{.scale = 0.3, .floor_positions = 4, .first = 0};
  latent.attention.sinks = true;
  latent.attention.latent = LatentKv{.q_rank = 64, .kv_rank = 32, .nope_dim = 12, .value_dim = 32};
  latent.ffn.experts = Experts{.count = 6, .active = 2, .hidden = 32,
                               .router = {.score = RouterScore::kSigmoid, .logit_bias = true, .choice_bias = true, .groups = 3,
                                          .kept_groups = 2, .group_score = GroupScore::kBestTwo, .scale = 2.5},
                               .pairs = ClampedPairs{}, .shared_hidden = 32, .shared_gate = true};
  spec.kinds = {dense, routed, latent};
  spec.layer_kind = {0, 1, 2, 0};
  return spec;
}

}  // namespace drover
