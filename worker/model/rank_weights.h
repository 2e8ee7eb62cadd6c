// RankWeights: everything one rank holds of a model, by role. Filled by worker/weights, read by the forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ffn.h"

namespace drover {

struct LayerWeights {
  FloatVector attn_norm, attn_norm_bias, attn_post_norm, ffn_norm, ffn_norm_bias, ffn_post_norm;
  FloatVector q_norm, q_norm_bias, k_norm, k_norm_bias;
  PackedWeight q, k, v, o;
  FloatVector q_bias, k_bias, v_bias, o_bias;  // o_bias on the first rank of an attention part
  FloatVector sinks;          // of own heads
  PackedWeight q_down, q_up, kv_down, kv_up;  // latent attention
  FloatVector q_down_bias, q_down_norm, kv_down_bias, kv_down_norm;
  FfnWeights ffn;                    // dense layers
  PackedWeight router;               // routed layers: [experts, hidden], replicated
  FloatVector router_bias, choice_bias;
  std::vector<FfnWeights> experts;   // this rank's, in order of RankCut::Experts
  FfnWeights shared;                 // shared expert, when there is one
  PackedWeight shared_switch;        // [1, hidden]: its gate, when there is one
};

struct RankWeights {
  PackedWeight embedding;            // this rank's vocabulary rows
  PackedWeight output;               // this rank's vocabulary rows; empty when tied to the embedding
  PackedWeight positions;            // this rank's rows of the learned positions
  FloatVector embedding_norm, embedding_norm_bias, final_norm, final_norm_bias;
  FloatVector output_bias;    // of this rank's vocabulary rows
  std::vector<LayerWeights> layers;
  int64_t bytes = 0;                 // resident bytes of all of the above
};

}  // namespace drover
