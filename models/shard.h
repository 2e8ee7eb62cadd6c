// Cutting a model over ranks: pure arithmetic shared by the planner, the loader and the forward pass.
// Rank r of t owns the contiguous range [floor(r·N/t), floor((r+1)·N/t)); ranges may be empty.
#pragma once

#include <cstdint>

#include "common/plan.h"
#include "models/spec.h"

namespace drover {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  bool empty() const { return end <= begin; }
  bool operator==(const Range&) const = default;
};

// The range of part `index` of `parts`, over `total` units.
Range PartOf(int64_t total, int64_t index, int64_t parts);

// A group's ranks: `stages` equal runs of ranks, each with a contiguous run of layers (pipeline). Inside a stage, dense layers and
// vocabulary are cut over all its ranks; experts over `expert_parts` sets of ranks, and inside a set each expert's width is cut over
// the set; attention over each of `attention_parts` runs of ranks, every one of which serves sequences of its own (data parallel).
// stages divides ranks; expert_parts and attention_parts divide the ranks of a stage.
struct Grid {
  int64_t ranks = 1;
  int64_t expert_parts = 1;
  int64_t stages = 1;
  int64_t attention_parts = 1;
  int64_t stage_ranks() const { return ranks / stages; }
  int64_t part_ranks() const { return stage_ranks() / attention_parts; }
  bool operator==(const Grid&) const = default;
};

// What one rank owns.
struct RankCut {
  Grid grid;
  int64_t rank = 0;

  int64_t stage() const { return rank / grid.stage_ranks(); }
  int64_t place() const { return rank % grid.stage_ranks(); }  // among the ranks of its stage
  int64_t attention_part() const { return place() / grid.part_ranks(); }
  int64_t seat() const { return place() % grid.part_ranks(); }  // among the ranks of its attention part
  bool first_stage() const { return stage() == 0; }            // embeds
  bool last_stage() const { return stage() == grid.stages - 1; }  // computes logits
  Range Layers(const ModelSpec& spec) const;
  Range Vocab(const ModelSpec& spec) const;
  Range Positions(const ModelSpec& spec) const;  // of learned positions
  Range Heads(const Attention& attention) const;
  // Every KV head that an own query head uses; a KV head may live on two ranks.
  Range KvHeads(const Attention& attention) const;
  // Those of them that no lower rank of the attention part holds: over its ranks, each KV head once.
  Range FirstKvHeads(const Attention& attention) const;
  Range FfnColumns(int64_t hidden) const;        // dense and shared feed-forward
  Range Experts(const struct Experts& experts) const;
  Range ExpertColumns(const struct Experts& experts) const;  // of each own expert's width
};

// The cut of one rank of a plan.
RankCut CutOf(const GroupPlan& plan, int64_t rank);

// Values of one token that a layer caches on this rank: K and V of the own KV heads, or the latent and the rotated part of all
// heads' keys, which every rank with heads keeps whole. Of the sequences of its attention part only.
int64_t KvValues(const Attention& attention, const RankCut& cut);

// KV cache of one token on this rank: every own layer in `bytes_per_value` (f32: 4).
int64_t KvBytesPerToken(const ModelSpec& spec, const RankCut& cut, int64_t bytes_per_value);

}  // namespace drover
