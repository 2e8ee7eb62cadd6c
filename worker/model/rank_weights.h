// RankWeights: everything one rank holds of a model, by role. Filled by worker/weights, read by the forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/weight.h"

namespace drover {

// Feed-forward; no gate in ungated ones; empty biases when the family has none (down_bias lives on one rank only).
struct FfnWeights {
  PackedWeight gate, up, down;
  PackedWeight pairs;  // gate and up rows alternating, instead of the two
  std::vector<float> gate_bias, up_bias, pairs_bias, down_bias;
};

struct LayerWeights {
  std::vector<float> attn_norm, attn_norm_bias, attn_post_norm, ffn_norm, ffn_norm_bias, ffn_post_norm;
  std::vector<float> q_norm, q_norm_bias, k_norm, k_norm_bias;
  PackedWeight q, k, v, o;
  std::vector<float> q_bias, k_bias, v_bias, o_bias;  // o_bias on the first rank of an attention part
  std::vector<float> sinks;          // of own heads
  PackedWeight q_down, q_up, kv_down, kv_up;  // latent attention
  std::vector<float> q_down_bias, q_down_norm, kv_down_bias, kv_down_norm;
  FfnWeights ffn;                    // dense layers
  PackedWeight router;               // routed layers: [experts, hidden], replicated
  std::vector<float> router_bias, choice_bias;
  std::vector<FfnWeights> experts;   // this rank's, in order of RankCut::Experts
  FfnWeights shared;                 // shared expert, when there is one
  PackedWeight shared_switch;        // [1, hidden]: its gate, when there is one
};

struct RankWeights {
  PackedWeight embedding;            // this rank's vocabulary rows
  PackedWeight output;               // this rank's vocabulary rows; empty when tied to the embedding
  PackedWeight positions;            // this rank's rows of the learned positions
  std::vector<float> embedding_norm, embedding_norm_bias, final_norm, final_norm_bias;
  std::vector<float> output_bias;    // of this rank's vocabulary rows
  std::vector<LayerWeights> layers;
  int64_t bytes = 0;                 // resident bytes of all of the above
};

}  // namespace drover
