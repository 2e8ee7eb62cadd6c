// One decoder layer for all families: the axes of its LayerKind, each read in one place.
#pragma once

#include "models/shard.h"
#include "worker/model/rank_weights.h"
#include "worker/model/step.h"

namespace drover {

// What this rank knows of a kind of layer before any step.
struct KindCut {
  AttentionShape shape;        // without the slopes
  FloatVector slopes;          // of own heads, with ALiBi
  int64_t repeated_kv_columns = 0;  // leading columns of k that a lower rank has too
  RopeTable rope;       // empty without RoPE
  ExpertSet experts;    // own, without their weights

  AttentionShape Shape() const {
    AttentionShape whole = shape;
    whole.slopes = slopes;
    return whole;
  }
};
absl::StatusOr<KindCut> CutKind(const LayerKind& kind, const RankCut& cut, Memory& memory);

// Everything of a layer that does not change from step to step, and this step's positions.
struct Layer {
  const LayerKind& kind;
  const KindCut& cut;
  const LayerWeights& weights;
  KvLayer kv;
  const ModelSpec& stream;  // what all layers share
  const Positions& positions;
  const LayerWeights* next = nullptr;  // of the layer after it on this rank; null: none
};

// h ← what a layer's first block reads of the stream x, for the first layer of a rank.
void EnterLayers(Step& step, const ModelSpec& stream, const LayerWeights& first, Tensor x, Tensor h);

// x ← x + Σ_ranks Attention(norm(x)); x ← x + Σ_ranks FeedForward(norm(x)); or another form of Residual. Every rank holds all rows of
// x; attention runs on those of its own attention part. h is norm(x), made with the sum before it: afterwards the next layer's.
void DecoderLayer(Step& step, const Layer& layer, Tensor x, Tensor h);

}  // namespace drover
