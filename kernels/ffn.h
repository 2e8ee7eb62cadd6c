// FfnWeights: the matrices of one feed-forward network, as far as a rank has them. ExpertSet: many of one shape, chosen by a router.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kernels/memory.h"
#include "kernels/weight.h"

namespace drover {

enum class GateKind { kSilu, kGeluTanh, kGelu, kRelu };

// No gate in ungated ones; empty biases when the family has none (down_bias lives on one rank only).
struct FfnWeights {
  PackedWeight gate, up, down;
  PackedWeight pairs;  // gate and up rows alternating, instead of the two
  FloatVector gate_bias, up_bias, pairs_bias, down_bias;
};

// The routed experts of a layer that a rank holds.
struct ExpertSet {
  std::span<const FfnWeights> own = {};  // experts [first, first + own.size()); outlives the Ops that was given it, where it lies
  int64_t first = 0;
  int64_t columns = 0;              // own columns of each expert's width
  GateKind kind = GateKind::kSilu;
  bool gated = true;                // act(W_gate x) ⊙ W_up x, otherwise act(W_up x)
  struct Pairs {
    float alpha = 0, limit = 0;
  };
  std::optional<Pairs> pairs = {};  // ClampedPairs(W_pairs x) instead
  bool scale_input = false;         // FFN(weight·x) instead of weight·FFN(x)
};

}  // namespace drover
