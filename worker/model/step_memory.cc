// See step_memory.h.
#include "worker/model/step_memory.h"

#include <algorithm>
#include <array>

#include "common/plan.h"
#include "worker/model/arena.h"
#include "worker/model/step_inputs.h"

namespace drover {
namespace {

int64_t GatedFloats(int64_t hidden, int64_t columns, int64_t tokens) {
  return 2 * Arena::Rounded(tokens * columns) + Arena::Rounded(tokens * hidden);
}

int64_t FeedForwardFloats(const Ffn& ffn, int64_t hidden, const RankCut& cut, int64_t tokens, const Ops& ops) {
  if (!ffn.experts) return GatedFloats(hidden, cut.FfnColumns(ffn.hidden).size(), tokens);
  const Experts& experts = *ffn.experts;
  const int64_t shared = Arena::Rounded(tokens * hidden) + GatedFloats(hidden, cut.FfnColumns(experts.shared_hidden).size(), tokens) +
                         Arena::Rounded(tokens);
  const int64_t routes = Arena::Rounded(tokens * experts.count) + 2 * Arena::Rounded(tokens * experts.active);
  return shared + routes + Arena::Rounded(ops.ExpertRoom(tokens, experts.active, hidden, cut.ExpertColumns(experts).size()));
}

// Of one token: what latent.cc takes, apart from its result.
std::array<int64_t, 7> LatentWidths(const Attention& a, const LatentKv& latent, int64_t heads) {
  const int64_t cached = latent.kv_rank + a.head_dim - latent.nope_dim;
  return {latent.q_rank.value_or(0), heads * a.head_dim,     cached,                   cached,
          heads * cached,            heads * latent.kv_rank, heads * latent.value_dim};
}

int64_t AttentionFloats(const Attention& a, const RankCut& cut, int64_t tokens) {
  const int64_t heads = cut.Heads(a).size();
  int64_t floats = Arena::Rounded(2 * tokens);  // the sums of squares of q and k
  if (a.latent) {
    for (const int64_t width : LatentWidths(a, *a.latent, heads)) floats += Arena::Rounded(tokens * width);
    return floats;
  }
  return floats + 2 * Arena::Rounded(tokens * heads * a.head_dim) + 2 * Arena::Rounded(tokens * cut.KvHeads(a).size() * a.head_dim);
}

int64_t LayerFloats(const LayerKind& kind, int64_t hidden, const RankCut& cut, int64_t tokens, const Ops& ops) {
  // The attention's result, and two results behind a post norm or a second norm; the feed-forward's own part is in its count.
  // The rows of an attention part are a tensor of their own before those of all parts are.
  const int64_t own = PartTokens(tokens, cut.grid.attention_parts);
  const int64_t joined = cut.grid.attention_parts > 1 ? Arena::Rounded(own * hidden) : 0;
  return 3 * Arena::Rounded(tokens * hidden) + joined + AttentionFloats(kind.attention, cut, own) +
         FeedForwardFloats(kind.ffn, hidden, cut, tokens, ops);
}

}  // namespace

int64_t StepFloats(const ModelSpec& spec, const RankCut& cut, const StepSize& size, const Ops& ops) {
  const int64_t tokens = size.tokens, rows = size.logit_rows;
  int64_t layer = Arena::Rounded(tokens * spec.hidden);  // of learned positions, before any layer
  for (const LayerKind& kind : spec.kinds) layer = std::max(layer, LayerFloats(kind, spec.hidden, cut, tokens, ops));
  const int64_t logits = 2 * Arena::Rounded(rows * spec.hidden) + Arena::Rounded(rows * cut.Vocab(spec).size()) + Arena::Rounded(rows * spec.vocab);
  const int64_t drawn_rows = cut.rank == 0 && !ops.on_host() ? rows : 0;
  int64_t drawing = 0;
  for (const int64_t width : {int64_t{1}, kScoreFloats, spec.vocab}) drawing += Arena::Rounded(drawn_rows * width);
  return InputFloats(spec, tokens, PartTokens(tokens, cut.grid.attention_parts), drawn_rows) + drawing +
         2 * Arena::Rounded(tokens * spec.hidden) + std::max(layer, logits);  // the stream and what blocks read of it
}

int64_t WidestColumns(const ModelSpec& spec) {
  int64_t widest = spec.hidden;
  for (const LayerKind& kind : spec.kinds) {
    widest = std::max({widest, kind.attention.heads * kind.attention.head_dim, kind.ffn.hidden});
    if (const auto& latent = kind.attention.latent)
      widest = std::max({widest, latent->q_rank.value_or(0), latent->kv_rank, kind.attention.heads * latent->value_dim});
    if (kind.ffn.experts) widest = std::max({widest, kind.ffn.experts->hidden, kind.ffn.experts->shared_hidden});
  }
  return widest;
}

}  // namespace drover
