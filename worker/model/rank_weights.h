// RankWeights: everything one rank holds of a model, by role. Filled by worker/weights, read by the forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/weight.h"

namespace drover {

// Gated feed-forward; empty biases when the family has none (kDownBias lives on rank 0 only).
struct FfnWeights {
  PackedWeight gate, up, down;
  std::vector<float> gate_bias, up_bias, down_bias;
};

struct LayerWeights {
  std::vector<float> attn_norm, ffn_norm, q_norm, k_norm;
  PackedWeight q, k, v, o;
  std::vector<float> q_bias, k_bias, v_bias, o_bias;  // o_bias on rank 0 only
  FfnWeights ffn;                    // dense layers
  PackedWeight router;               // routed layers: [experts, hidden], replicated
  std::vector<FfnWeights> experts;   // this rank's, in order of RankCut::Experts
  FfnWeights shared;                 // shared expert, when there is one
};

struct RankWeights {
  PackedWeight embedding;            // this rank's vocabulary rows
  PackedWeight output;               // this rank's vocabulary rows; empty when tied to the embedding
  std::vector<float> final_norm;
  std::vector<LayerWeights> layers;
  int64_t bytes = 0;                 // resident bytes of all of the above
};

}  // namespace drover
