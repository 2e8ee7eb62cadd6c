// See step_memory.h.
#include "worker/model/step_memory.h"

#include <algorithm>

#include "worker/model/arena.h"

namespace drover {
namespace {

int64_t GatedFloats(int64_t hidden, int64_t columns, int64_t tokens) {
  return 2 * Arena::Rounded(tokens * columns) + Arena::Rounded(tokens * hidden);
}

int64_t FeedForwardFloats(const Ffn& ffn, int64_t hidden, const RankCut& cut, int64_t tokens) {
  if (!ffn.experts) return GatedFloats(hidden, cut.FfnColumns(ffn.hidden).size(), tokens);
  const Experts& experts = *ffn.experts;
  return Arena::Rounded(tokens * hidden) + GatedFloats(hidden, cut.FfnColumns(experts.shared_hidden).size(), tokens) +
         Arena::Rounded(tokens * experts.count) +
         Arena::Rounded(tokens * hidden) + GatedFloats(hidden, cut.ExpertColumns(experts).size(), tokens);
}

int64_t LayerFloats(const LayerKind& kind, int64_t hidden, const RankCut& cut, int64_t tokens) {
  const Attention& a = kind.attention;
  const int64_t q = cut.Heads(a).size() * a.head_dim, kv = cut.KvHeads(a).size() * a.head_dim;
  return 3 * Arena::Rounded(tokens * hidden) + 2 * Arena::Rounded(tokens * q) + 2 * Arena::Rounded(tokens * kv) +
         Arena::Rounded(tokens) + FeedForwardFloats(kind.ffn, hidden, cut, tokens);
}

}  // namespace

int64_t StepFloats(const ModelSpec& spec, const RankCut& cut, int64_t tokens) {
  int64_t layer = 0, angles = 0;
  for (const LayerKind& kind : spec.kinds) {
    layer = std::max(layer, LayerFloats(kind, spec.hidden, cut, tokens));
    if (kind.attention.rope) angles += 2 * Arena::Rounded(tokens * kind.attention.rope->dims / 2);
  }
  const int64_t logits = 2 * Arena::Rounded(kLogitRowsAtOnce * spec.hidden) +
                         Arena::Rounded(kLogitRowsAtOnce * cut.Vocab(spec).size()) + Arena::Rounded(kLogitRowsAtOnce * spec.vocab);
  return Arena::Rounded(tokens * spec.hidden) + angles + std::max(layer, logits);
}

int64_t WidestColumns(const ModelSpec& spec) {
  int64_t widest = spec.hidden;
  for (const LayerKind& kind : spec.kinds) {
    widest = std::max({widest, kind.attention.heads * kind.attention.head_dim, kind.ffn.hidden});
    if (kind.ffn.experts) widest = std::max({widest, kind.ffn.experts->hidden, kind.ffn.experts->shared_hidden});
  }
  return widest;
}

}  // namespace drover
