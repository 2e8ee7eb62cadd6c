// See planner_report.h.
#include "coordinator/planner_report.h"

#include <algorithm>
#include <cstdio>

#include "coordinator/planner.h"
#include "models/weights.h"

namespace drover {
namespace {

constexpr int64_t kShownRanks = 16;

// What a rank owns, as ranges over the widest layers of each sort.
struct Share {
  Range heads, kv_heads, experts, columns, vocab;
};

Share ShareOf(const ModelSpec& spec, const RankCut& cut) {
  Share share{cut.Heads(spec.kinds[0].attention), cut.KvHeads(spec.kinds[0].attention), {}, {}, cut.Vocab(spec)};
  for (const LayerKind& kind : spec.kinds) {
    if (!kind.ffn.experts) {
      share.columns = cut.FfnColumns(kind.ffn.hidden);
    } else {
      share.experts = cut.Experts(*kind.ffn.experts);
      if (share.columns == Range{}) share.columns = cut.ExpertColumns(*kind.ffn.experts);
    }
  }
  return share;
}

std::string Text(Range range) {
  if (range.empty()) return "-";
  return range.size() == 1 ? Cat(range.begin) : Cat(range.begin, "-", range.end - 1);
}

std::string Line(const std::vector<std::string>& cells) {
  constexpr int kWidths[] = {4, 8, 6, 8, 12, 14, 9, 9, 9};
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const auto width = static_cast<size_t>(kWidths[i]);
    const std::string cell = cells[i].size() < width ? cells[i] : cells[i].substr(0, width);
    line += std::string(width - cell.size(), ' ') + cell;
  }
  return line + "\n";
}

std::string RankLine(const ModelSpec& spec, const GroupPlan& plan, int64_t rank) {
  const Share share = ShareOf(spec, CutOf(plan, rank));
  const RankBytes& bytes = plan.rank_bytes[static_cast<size_t>(rank)];
  return Line({Cat(rank), Text(share.heads), Text(share.kv_heads), Text(share.experts), Text(share.columns), Text(share.vocab),
               FormatBytes(bytes.weights), FormatBytes(bytes.kv), FormatBytes(bytes.total())});
}

RankBytes Sum(const GroupPlan& plan) {
  RankBytes sum;
  for (const RankBytes& bytes : plan.rank_bytes) {
    sum.weights += bytes.weights;
    sum.kv += bytes.kv;
    sum.runtime += bytes.runtime;
  }
  return sum;
}

std::string Axes(const ModelSpec& spec, const GroupPlan& plan) {
  const int64_t tensor = plan.ranks / plan.stages;
  std::string out = plan.stages > 1 ? Cat("pipeline ", plan.stages, " x tensor ", tensor) : Cat("tensor ", tensor);
  const auto of_ranks = [](int64_t ranks) { return Cat(" of ", ranks, ranks == 1 ? " rank" : " ranks"); };
  if (plan.attention_parts > 1) out += Cat("; attention in ", plan.attention_parts, " parts", of_ranks(tensor / plan.attention_parts));
  if (!spec.has_experts()) return out;
  return out + Cat("; experts in ", plan.expert_parts, plan.expert_parts == 1 ? " set" : " sets", of_ranks(tensor / plan.expert_parts));
}

std::string Head(const Checkpoint& checkpoint, const GroupPlan& plan) {
  const ModelSpec& spec = checkpoint.spec;
  const ParameterCount count = CountParameters(spec);
  std::string out = Cat(plan.model, " (", spec.family, "): ", FormatCount(count.total), " parameters");
  if (count.active != count.total) out += Cat(", ", FormatCount(count.active), " active");
  out += Cat("\n", spec.layers(), " layers on ");
  out += Cat(plan.ranks, plan.ranks == 1 ? " rank: " : " ranks: ", Axes(spec, plan), "\n");
  const int64_t tensor = plan.ranks / plan.stages;
  for (int64_t stage = 0; stage < plan.stages && plan.stages > 1; ++stage) {
    const Range ranks{stage * tensor, (stage + 1) * tensor};
    out += Cat("layers ", Text(CutOf(plan, ranks.begin).Layers(spec)), " on ranks ", Text(ranks), "\n");
  }
  return out + "\n";
}

// Of one token, on the rank that caches most.
int64_t LargestKvBytes(const GroupPlan& plan) {
  int64_t largest = 0;
  for (const RankBytes& bytes : plan.rank_bytes) largest = std::max(largest, bytes.kv);
  return plan.kv_blocks == 0 ? 0 : largest / (plan.kv_blocks * plan.block_tokens);
}

// Of one token, on all ranks of the attention part that caches it.
int64_t PartKvBytes(const ModelSpec& spec, const Grid& grid) {
  int64_t bytes = 0;
  for (int64_t rank = 0; rank < grid.ranks; ++rank)
    if (const RankCut cut{grid, rank}; cut.attention_part() == 0) bytes += KvBytesPerToken(spec, cut, sizeof(float));
  return bytes;
}

// Ranks that share a KV head or a latent each keep it. Where that doubles the cache: the fewest attention parts of which no two ranks
// share one.
std::string Hint(const ModelSpec& spec, const GroupPlan& plan) {
  const Grid grid = CutOf(plan, 0).grid;
  const int64_t once = PartKvBytes(spec, {});
  const double times = static_cast<double>(PartKvBytes(spec, grid)) / static_cast<double>(once);
  if (times < 2) return "";
  Grid better = grid;
  while (grid.stage_ranks() % better.attention_parts != 0 || PartKvBytes(spec, better) > once) ++better.attention_parts;
  char copies[16];
  std::snprintf(copies, sizeof copies, "%.1f", times);
  return Cat("hint:     a token is cached ", copies, " times, once with --data-parallel-attention ", better.attention_parts, "\n");
}

std::string Foot(const Checkpoint& checkpoint, const GroupPlan& plan) {
  const ModelSpec& spec = checkpoint.spec;
  const std::string parts = plan.attention_parts > 1 ? Cat(plan.attention_parts, " x ") : "";
  std::string out = Cat("\nKV cache: ", parts, plan.kv_blocks, " blocks of ", plan.block_tokens, " tokens (",
                        plan.attention_parts * plan.kv_blocks * plan.block_tokens, "), ", plan.kv, "; ", FormatBytes(LargestKvBytes(plan)), " a token and rank\n");
  out += Cat("context:  ", plan.max_model_len, " of the model's ", spec.max_positions, " tokens; ", plan.threads,
             plan.threads == 1 ? " thread a rank\n" : " threads a rank\n");
  out += Cat("engine:   ", plan.max_sequences, " sequences at once, ", plan.max_step_tokens, " tokens a step, runtime ",
             FormatBytes(plan.rank_bytes[0].runtime), " a rank\n");
  out += Hint(spec, plan);
  if (checkpoint.form == CheckpointForm::kConfigOnly) out += "weights:  no files here, counted as bf16\n";
  for (const std::string& part : spec.not_served) out += Cat("not served: ", part, "\n");
  return out;
}

Json ToJson(Range range) { return Json::array({range.begin, range.end}); }

}  // namespace

std::string FormatCount(int64_t count) {
  constexpr const char* kUnits[] = {"", " K", " M", " B", " T"};
  auto value = static_cast<double>(count);
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f%s" : value < 10 ? "%.2f%s" : "%.1f%s", value, kUnits[unit]);
  return text;
}

std::string PlanTable(const Checkpoint& checkpoint, const GroupPlan& plan) {
  std::string out = Head(checkpoint, plan);
  out += Line({"rank", "heads", "KV", "experts", "columns", "vocabulary", "weights", "KV", "total"});
  const int64_t shown = plan.ranks <= kShownRanks ? plan.ranks : kShownRanks - 2;
  for (int64_t rank = 0; rank < shown; ++rank) out += RankLine(checkpoint.spec, plan, rank);
  if (shown < plan.ranks) {
    out += " ...\n";
    out += RankLine(checkpoint.spec, plan, plan.ranks - 1);
  }
  const RankBytes sum = Sum(plan);
  out += Line({"all", "", "", "", "", "", FormatBytes(sum.weights), FormatBytes(sum.kv), FormatBytes(sum.total())});
  return out + Foot(checkpoint, plan);
}

Json PlanJson(const Checkpoint& checkpoint, const GroupPlan& plan) {
  const ModelSpec& spec = checkpoint.spec;
  const ParameterCount count = CountParameters(spec);
  Json json = {{"model", plan.model}, {"family", spec.family}, {"parameters", count.total}, {"active_parameters", count.active},
               {"ranks", plan.ranks}, {"pipeline", plan.stages}, {"expert_parts", plan.expert_parts},
               {"data_parallel_attention", plan.attention_parts}, {"threads", plan.threads}, {"compute", plan.compute},
               {"kv", plan.kv}, {"block_tokens", plan.block_tokens}, {"kv_blocks", plan.kv_blocks}, {"kv_bytes_per_token", LargestKvBytes(plan)},
               {"max_model_len", plan.max_model_len}, {"max_sequences", plan.max_sequences},
               {"max_step_tokens", plan.max_step_tokens}, {"fingerprint", plan.fingerprint}, {"not_served", spec.not_served}};
  const RankBytes sum = Sum(plan);
  json["total"] = {{"weight_bytes", sum.weights}, {"kv_bytes", sum.kv}, {"runtime_bytes", sum.runtime}, {"bytes", sum.total()}};
  json["rank_plans"] = Json::array();
  for (int64_t rank = 0; rank < plan.ranks; ++rank) {
    const Share share = ShareOf(spec, CutOf(plan, rank));
    const RankBytes& bytes = plan.rank_bytes[static_cast<size_t>(rank)];
    json["rank_plans"].push_back({{"rank", rank}, {"layers", ToJson(CutOf(plan, rank).Layers(spec))}, {"heads", ToJson(share.heads)}, {"kv_heads", ToJson(share.kv_heads)},
                                  {"experts", ToJson(share.experts)}, {"columns", ToJson(share.columns)}, {"vocab", ToJson(share.vocab)},
                                  {"weight_bytes", bytes.weights}, {"kv_bytes", bytes.kv}, {"runtime_bytes", bytes.runtime},
                                  {"bytes", bytes.total()}});
  }
  return json;
}

}  // namespace drover
