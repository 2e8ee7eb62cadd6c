// See shard.h.
#include "models/shard.h"

#include "common/check.h"

namespace drover {

Range PartOf(int64_t total, int64_t index, int64_t parts) {
  DROVER_CHECK(parts > 0 && index >= 0 && index < parts && total >= 0);
  // total and parts stay far below 2^31 each (spec.cc, planner), so the products do not overflow.
  return {index * total / parts, (index + 1) * total / parts};
}

RankCut CutOf(const GroupPlan& plan, int64_t rank) {
  return {.grid = {.ranks = plan.ranks, .expert_parts = plan.expert_parts, .stages = plan.stages, .attention_parts = plan.attention_parts},
          .rank = rank};
}

Range RankCut::Layers(const ModelSpec& spec) const { return PartOf(spec.layers(), stage(), grid.stages); }

Range RankCut::Vocab(const ModelSpec& spec) const { return PartOf(spec.vocab, place(), grid.stage_ranks()); }

Range RankCut::Positions(const ModelSpec& spec) const { return PartOf(spec.max_positions, place(), grid.stage_ranks()); }

Range RankCut::Heads(const Attention& attention) const { return PartOf(attention.heads, seat(), grid.part_ranks()); }

Range RankCut::KvHeads(const Attention& attention) const {
  const Range heads = Heads(attention);
  const int64_t group = attention.heads / attention.kv_heads;
  if (heads.empty()) return {heads.begin / group, heads.begin / group};
  return {heads.begin / group, (heads.end - 1) / group + 1};
}

Range RankCut::FirstKvHeads(const Attention& attention) const {
  const int64_t group = attention.heads / attention.kv_heads;
  const Range all = KvHeads(attention);
  if (all.empty()) return all;
  const bool begun_below = Heads(attention).begin % group != 0;
  return {all.begin + (begun_below ? 1 : 0), all.end};
}

Range RankCut::FfnColumns(int64_t hidden) const { return PartOf(hidden, place(), grid.stage_ranks()); }

Range RankCut::Experts(const struct Experts& experts) const {
  const int64_t set = grid.stage_ranks() / grid.expert_parts;
  return PartOf(experts.count, place() / set, grid.expert_parts);
}

Range RankCut::ExpertColumns(const struct Experts& experts) const {
  const int64_t set = grid.stage_ranks() / grid.expert_parts;
  return PartOf(experts.hidden, place() % set, set);
}

int64_t KvValues(const Attention& attention, const RankCut& cut) {
  const int64_t heads = cut.KvHeads(attention).size();
  if (attention.latent) return heads * (attention.latent->kv_rank + attention.head_dim - attention.latent->nope_dim);
  return 2 * heads * attention.head_dim;
}

int64_t KvBytesPerToken(const ModelSpec& spec, const RankCut& cut, int64_t bytes_per_value) {
  int64_t bytes = 0;
  const Range own = cut.Layers(spec);
  for (int64_t i = own.begin; i < own.end; ++i) bytes += KvValues(spec.layer(i).attention, cut) * bytes_per_value;
  return bytes;
}

}  // namespace drover
