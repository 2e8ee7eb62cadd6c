// One decoder layer for all families: the axes of its LayerKind, each read in one place.
#pragma once

#include "models/shard.h"
#include "worker/model/rank_weights.h"
#include "worker/model/step.h"

namespace drover {

// What this rank knows of a kind of layer before any step.
struct KindCut {
  AttentionShape shape;
  RopeTable rope;       // empty without RoPE
  Range experts;        // own
};
KindCut CutKind(const LayerKind& kind, const RankCut& cut);

// Everything of a layer that does not change from step to step, and this step's angles.
struct Layer {
  const LayerKind& kind;
  const KindCut& cut;
  const LayerWeights& weights;
  KvLayer kv;
  double norm_eps = 0;
  RopeAngles angles;
};

// x ← x + Σ_ranks Attention(norm(x)); x ← x + Σ_ranks FeedForward(norm(x)).
void DecoderLayer(Step& step, const Layer& layer, Tensor x);

}  // namespace drover
