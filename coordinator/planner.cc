// See planner.h.
#include "coordinator/planner.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "common/draw.h"
#include "models/weights.h"

namespace drover {
namespace {

constexpr int64_t kMiB = 1 << 20;
// The process itself: gRPC, Open MPI, logs, thread stacks, allocator. drover-worker under mpirun with 2 ranks and a model of
// 100 KiB has 29 MiB resident (VmRSS in /proc, x86-64, Debian 12); the rest is room for the allocator while it serves.
constexpr int64_t kRuntimeBaseline = 64 * kMiB;
// Of a host's memory; the rest is the system's and the coordinator's.
constexpr double kUsableShare = 0.9;

constexpr int64_t kBlockTokens = 16;
constexpr int64_t kDefaultModelLen = 32'768;
constexpr int64_t kDefaultKvTokens = 16'384;  // or twice the longest sequence, whichever is more
constexpr int64_t kLeastModelLen = 256;       // below it a reduced context is of no use
constexpr int64_t kBytesPerValue = 4;         // of activations
constexpr int64_t kThinnestSlice = 256;       // columns of an expert on one rank

absl::Status CheckOption(std::string_view name, int64_t value, int64_t lowest, int64_t highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return InvalidArgument(name, ": found ", value, ", expected ", lowest, " to ", highest);
}

absl::Status CheckNumbers(std::string_view name, const std::string& numbers) {
  if (numbers == "f32" || numbers == "bf16") return absl::OkStatus();
  return InvalidArgument(name, ": found ", numbers, ", expected f32 or bf16");
}

absl::Status CheckOptions(const PlanOptions& options, const Inventory& inventory, const ModelSpec& spec) {
  DROVER_RETURN_IF_ERROR(CheckOption("ranks", options.ranks, 1, kMaxRanks));
  DROVER_RETURN_IF_ERROR(CheckOption("pipeline", options.stages, 1, std::min(options.ranks, spec.layers())));
  if (options.ranks % options.stages != 0)
    return InvalidArgument("pipeline: found ", options.stages, " stages, expected a divisor of the ", options.ranks, " ranks");
  const int64_t stage_ranks = options.ranks / options.stages;
  DROVER_RETURN_IF_ERROR(CheckOption("expert_parts", options.expert_parts, 0, options.ranks));
  if (options.expert_parts != 0 && stage_ranks % options.expert_parts != 0)
    return InvalidArgument("expert_parts: found ", options.expert_parts, ", expected a divisor of the ", stage_ranks, " ranks",
                           options.stages > 1 ? " of a stage" : "");
  DROVER_RETURN_IF_ERROR(CheckOption("data_parallel_attention", options.attention_parts, 1, options.ranks));
  if (stage_ranks % options.attention_parts != 0)
    return InvalidArgument("data_parallel_attention: found ", options.attention_parts, " parts, expected a divisor of the ", stage_ranks,
                           " ranks", options.stages > 1 ? " of a stage" : "");
  if (options.expert_parts > 1 && !spec.has_experts())
    return InvalidArgument("expert_parts: found ", options.expert_parts, ", expected 1, as the model has no experts");
  DROVER_RETURN_IF_ERROR(CheckOption("max_model_len", options.max_model_len, 0, spec.max_positions));
  DROVER_RETURN_IF_ERROR(CheckOption("kv_tokens", options.kv_tokens, 0, int64_t{1} << 40));
  DROVER_RETURN_IF_ERROR(CheckOption("max_sequences", options.max_sequences, 0, 1 << 16));
  DROVER_RETURN_IF_ERROR(CheckOption("max_step_tokens", options.max_step_tokens, 0, 1 << 18));
  DROVER_RETURN_IF_ERROR(CheckOption("threads", options.threads, 0, 4096));
  DROVER_RETURN_IF_ERROR(CheckOption("memory_limit", options.memory_limit, 0, int64_t{1} << 50));
  DROVER_RETURN_IF_ERROR(CheckOption("step_timeout_ms", options.step_timeout_ms, 0, 86'400'000));
  DROVER_RETURN_IF_ERROR(CheckNumbers("compute", options.compute));
  DROVER_RETURN_IF_ERROR(CheckNumbers("kv", options.kv));
  if (!inventory.ranks.empty() && static_cast<int64_t>(inventory.ranks.size()) != options.ranks)
    return InvalidArgument("ranks: found ", options.ranks, ", but ", inventory.ranks.size(), " have joined");
  return absl::OkStatus();
}

int64_t LargestRank(const WeightSizes& sizes, const Grid& grid) {
  int64_t largest = 0;
  for (int64_t rank = 0; rank < grid.ranks; ++rank) largest = std::max(largest, sizes.RankBytes({grid, rank}));
  return largest;
}

// Each expert is cut over as many ranks as keep its slices wide; beyond that, experts are spread. A spread whose largest rank
// holds a tenth more than the best one's loses, as experts do not divide by every rank count.
int64_t ChooseExpertParts(const ModelSpec& spec, const WeightSizes& sizes, Grid grid) {
  if (!spec.has_experts()) return 1;
  int64_t width = 0;
  for (const LayerKind& kind : spec.kinds)
    if (kind.ffn.experts) width = kind.ffn.experts->hidden;
  std::map<int64_t, int64_t> largest;  // by number of sets
  const int64_t stage_ranks = grid.stage_ranks();
  for (grid.expert_parts = 1; grid.expert_parts <= stage_ranks; ++grid.expert_parts)
    if (stage_ranks % grid.expert_parts == 0) largest[grid.expert_parts] = LargestRank(sizes, grid);
  int64_t best = INT64_MAX, chosen = 1;
  for (const auto& [parts, bytes] : largest) best = std::min(best, bytes);
  for (const auto& [parts, bytes] : largest) {
    if (static_cast<double>(bytes) > 1.1 * static_cast<double>(best)) continue;
    chosen = parts;
    if (width * parts / stage_ranks >= kThinnestSlice) break;
  }
  return chosen;
}

// All ranks of the last stage gather logits, some rows at a time; the leader keeps those of every running sequence, with a copy to
// sample from and, on a device, what edits and masks it.
int64_t LogitFloats(const ModelSpec& spec, const GroupPlan& plan, const RankCut& cut) {
  const int64_t copies = cut.rank == 0 ? 2 : 0;
  const int64_t gathered = cut.last_stage() || cut.rank == 0 ? kLogitRowsAtOnce * (spec.vocab + cut.Vocab(spec).size()) : 0;
  const int64_t edits = cut.rank == 0 ? kEditsMax * static_cast<int64_t>(sizeof(LogitEdit)) / kBytesPerValue + MaskWords(spec.vocab) : 0;
  return plan.max_sequences * (copies * spec.vocab + edits) + gathered;
}

// Buffers of one forward pass in f32: residual, norms, q, k, v, attention output, feed-forward slices; logits.
int64_t StepBytes(const ModelSpec& spec, const GroupPlan& plan, const RankCut& cut) {
  const int64_t tokens = plan.max_step_tokens, own = PartTokens(tokens, plan.attention_parts);
  int64_t widest = 0;
  for (const LayerKind& kind : spec.kinds) {
    const Attention& a = kind.attention;
    int64_t attention = 2 * (cut.Heads(a).size() + 2 * cut.KvHeads(a).size()) * a.head_dim, ffn = 3 * cut.FfnColumns(kind.ffn.hidden).size();
    if (a.latent) attention += cut.Heads(a).size() * (2 * a.latent->kv_rank + a.head_dim + a.latent->value_dim) + 3 * a.latent->kv_rank + a.latent->q_rank.value_or(0);
    if (kind.ffn.experts) ffn += 3 * std::max(cut.ExpertColumns(*kind.ffn.experts).size(), cut.FfnColumns(kind.ffn.experts->shared_hidden).size());
    if (plan.attention_parts > 1) attention += spec.hidden;
    widest = std::max(widest, own * attention + tokens * ffn);
  }
  return kBytesPerValue * (tokens * 6 * spec.hidden + widest + LogitFloats(spec, plan, cut));
}

// One host and what its ranks need.
struct Host {
  std::string name;
  int64_t usable = 0;           // 0: not known
  int64_t fixed = 0;            // weights and runtime of its ranks
  int64_t kv_bytes_a_token = 0;
  int64_t ranks = 0, cores = 0;
  int64_t Left() const { return usable - fixed; }
};

std::vector<Host> Hosts(const PlanOptions& options, const Inventory& inventory, const GroupPlan& plan, const ModelSpec& spec) {
  std::map<std::string, Host> hosts;
  for (int64_t rank = 0; rank < options.ranks; ++rank) {
    const RankResources machine = inventory.ranks.empty() ? RankResources{} : inventory.ranks[static_cast<size_t>(rank)];
    const std::string key = machine.host.empty() ? Cat("rank ", rank) : Cat("host ", machine.host);
    Host& host = hosts[key];
    host.name = key;
    ++host.ranks;
    host.cores = machine.cores;
    host.usable = static_cast<int64_t>(kUsableShare * static_cast<double>(machine.memory_bytes));
    if (options.memory_limit > 0) {
      const int64_t limit = options.memory_limit * host.ranks;
      host.usable = host.usable == 0 ? limit : std::min(host.usable, limit);
    }
    const RankBytes& bytes = plan.rank_bytes[static_cast<size_t>(rank)];
    host.fixed += bytes.weights + bytes.runtime;
    host.kv_bytes_a_token += KvBytesPerToken(spec, CutOf(plan, rank), KvValueBytes(plan.kv));
  }
  std::vector<Host> list;
  for (auto& [name, host] : hosts) list.push_back(std::move(host));
  return list;
}

// The smallest rank count, one rank a machine, at which the largest rank's weights and runtime fit; 0: none up to the cap.
int64_t EnoughRanks(const ModelSpec& spec, const WeightSizes& sizes, const GroupPlan& plan, int64_t usable) {
  const int64_t runs = plan.stages * plan.attention_parts;
  const auto whole_runs = [&](int64_t ranks) { return (ranks + runs - 1) / runs * runs; };
  const auto fits = [&](int64_t ranks) {
    GroupPlan trial = plan;
    trial.ranks = whole_runs(ranks);
    trial.expert_parts = ChooseExpertParts(spec, sizes, CutOf(trial, 0).grid);
    const RankCut leader = CutOf(trial, 0);
    return LargestRank(sizes, leader.grid) + kRuntimeBaseline + StepBytes(spec, trial, leader) <= usable;
  };
  int64_t high = plan.ranks;
  do {
    if (high >= kMaxRanks) return 0;
    high = std::min(kMaxRanks, 2 * high);
  } while (!fits(high));
  int64_t low = high / 2;
  while (low + 1 < high) (fits((low + high) / 2) ? high : low) = (low + high) / 2;
  return whole_runs(high);
}

absl::Status DoesNotFit(const ModelSpec& spec, const WeightSizes& sizes, const GroupPlan& plan, const Host& host) {
  const std::string need = Cat("weights need ", FormatBytes(LargestRank(sizes, CutOf(plan, 0).grid)), " a rank and ", FormatBytes(host.fixed), " with the runtime");
  if (host.ranks > 1)
    return ResourceExhausted(need, " for the ", host.ranks, " ranks of ", host.name, ", which has ", FormatBytes(host.usable),
                             " to give: use more hosts or a smaller model");
  const int64_t enough = EnoughRanks(spec, sizes, plan, host.usable);
  return ResourceExhausted(need, ", but ", host.name, " has ", FormatBytes(host.usable), " to give: ",
                           enough == 0 ? Cat("no count up to ", kMaxRanks, " ranks would do") : Cat("use >= ", enough, " ranks"));
}

// Tokens of an attention part that fit beside the weights on every host; nothing when no memory is known.
std::optional<int64_t> KvRoom(const std::vector<Host>& hosts) {
  std::optional<int64_t> room;
  for (const Host& host : hosts) {
    if (host.usable == 0 || host.kv_bytes_a_token == 0) continue;
    const int64_t tokens = host.Left() / host.kv_bytes_a_token;
    room = room ? std::min(*room, tokens) : tokens;
  }
  return room;
}

// Sets max_model_len and kv_blocks: one longest sequence always fits, into each attention part.
absl::Status PlanCache(const ModelSpec& spec, const PlanOptions& options, const std::vector<Host>& hosts, GroupPlan& plan) {
  plan.max_model_len = options.max_model_len > 0 ? options.max_model_len : std::min(spec.max_positions, kDefaultModelLen);
  const int64_t parts = plan.attention_parts;
  int64_t tokens = PartTokens(options.kv_tokens > 0 ? options.kv_tokens : std::max(2 * plan.max_model_len, kDefaultKvTokens), parts);
  if (options.kv_tokens == 0) tokens = std::max(tokens, plan.max_model_len);
  const std::optional<int64_t> room = KvRoom(hosts);
  if (room && tokens > *room) {
    if (options.kv_tokens > 0)
      return ResourceExhausted("kv_tokens: found ", options.kv_tokens, ", but beside the weights there is room for ", *room * parts);
    tokens = *room;
  }
  tokens = (options.kv_tokens > 0 ? tokens + kBlockTokens - 1 : tokens) / kBlockTokens * kBlockTokens;
  if (plan.max_model_len > tokens) {
    if (options.max_model_len > 0)
      return ResourceExhausted("max_model_len: found ", options.max_model_len, ", but the KV cache has room for ", tokens, " tokens",
                               parts > 1 ? Cat(" in each of ", parts, " attention parts") : "");
    plan.max_model_len = tokens;
  }
  const int64_t least = std::min(spec.max_positions, kLeastModelLen);
  if (plan.max_model_len < least)
    return ResourceExhausted("KV cache: beside the weights there is room for ", tokens, " tokens, expected at least ", least);
  plan.kv_blocks = tokens / kBlockTokens;
  return absl::OkStatus();
}

int64_t ChooseThreads(const std::vector<Host>& hosts) {
  int64_t threads = INT64_MAX;
  for (const Host& host : hosts) threads = std::min(threads, std::max<int64_t>(1, host.cores / host.ranks));
  return threads;
}

// FNV-1a over everything that two equal plans share: which bytes are loaded, how they are cut, and the numbers of the engine.
// Ranks that hold a plan of this fingerprint keep their weights, so files that were exchanged in place must change it.
std::string Fingerprint(const Checkpoint& checkpoint, const GroupPlan& plan) {
  std::string text = Cat(ToString(checkpoint.spec), plan.model, "|", plan.ranks, "|", plan.stages, "|", plan.expert_parts, "|", plan.attention_parts, "|", plan.compute, "|", plan.kv, "|",
                         plan.block_tokens, "|", plan.kv_blocks, "|", plan.max_step_tokens, "|", plan.max_sequences, "|",
                         plan.max_model_len, "|", plan.threads, "|", plan.model_path, "\n");
  for (const std::string& stamp : checkpoint.stamps) text += stamp + "\n";
  for (const auto& [name, tensor] : checkpoint.tensors) text += Cat(name, "|", tensor.dtype, "|", tensor.file, "|", tensor.offset, "\n");
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
  return hex;
}

}  // namespace

absl::StatusOr<GroupPlan> MakePlan(const Checkpoint& checkpoint, const PlanOptions& options, const Inventory& inventory) {
  const ModelSpec& spec = checkpoint.spec;
  DROVER_RETURN_IF_ERROR(CheckOptions(options, inventory, spec));
  const WeightSizes sizes(checkpoint);
  GroupPlan plan;
  plan.model = options.model.empty() ? checkpoint.name : options.model;
  plan.model_path = checkpoint.path;
  plan.ranks = options.ranks;
  plan.stages = options.stages;
  plan.attention_parts = options.attention_parts;
  plan.expert_parts = options.expert_parts > 0 ? options.expert_parts : ChooseExpertParts(spec, sizes, CutOf(plan, 0).grid);
  plan.block_tokens = kBlockTokens;
  plan.compute = options.compute;
  plan.kv = options.kv;
  if (options.max_sequences > 0) plan.max_sequences = options.max_sequences;
  if (options.max_step_tokens > 0) plan.max_step_tokens = options.max_step_tokens;
  if (options.step_timeout_ms > 0) plan.step_timeout_ms = options.step_timeout_ms;
  for (int64_t rank = 0; rank < plan.ranks; ++rank) {
    const RankCut cut = CutOf(plan, rank);
    plan.rank_bytes.push_back({sizes.RankBytes(cut), 0, kRuntimeBaseline + StepBytes(spec, plan, cut)});
  }
  const std::vector<Host> hosts = Hosts(options, inventory, plan, spec);
  for (const Host& host : hosts)
    if (host.usable > 0 && host.Left() <= 0) return DoesNotFit(spec, sizes, plan, host);
  DROVER_RETURN_IF_ERROR(PlanCache(spec, options, hosts, plan));
  for (int64_t rank = 0; rank < plan.ranks; ++rank)
    plan.rank_bytes[static_cast<size_t>(rank)].kv =
        plan.kv_blocks * plan.block_tokens * KvBytesPerToken(spec, CutOf(plan, rank), KvValueBytes(plan.kv));
  plan.threads = options.threads > 0 ? options.threads : ChooseThreads(hosts);
  plan.fingerprint = Fingerprint(checkpoint, plan);
  return plan;
}

std::string FormatBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 10 && unit > 0 ? "%.2f %s" : value < 100 && unit > 0 ? "%.1f %s" : "%.0f %s", value, kUnits[unit]);
  return text;
}

}  // namespace drover
