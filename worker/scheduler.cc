// See scheduler.h.
#include "worker/scheduler.h"

#include <algorithm>

#include "common/check.h"
#include "common/plan.h"

namespace drover {
namespace {
bool Older(const std::unique_ptr<Sequence>& a, const std::unique_ptr<Sequence>& b) { return a->arrival < b->arrival; }
}  // namespace

absl::Status Validate(const SchedulerLimits& limits) {
  const std::pair<std::string_view, int64_t> fields[] = {
      {"block_tokens", limits.block_tokens},       {"kv_blocks", limits.kv_blocks},
      {"max_step_tokens", limits.max_step_tokens}, {"max_sequences", limits.max_sequences},
      {"max_model_len", limits.max_model_len},     {"max_requests", limits.max_requests},
      {"max_score_rows", limits.max_score_rows},   {"attention_parts", limits.attention_parts}};
  for (const auto& [name, value] : fields)
    if (value <= 0) return InvalidArgument(name, ": found ", value, ", expected more than 0");
  return absl::OkStatus();
}

// One token of every running sequence fits into a step (ChoosePart: of its part too), and one sequence of full length fits into the
// blocks of a part: so no sequence can be stuck, whatever the limits say.
Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits),
      pools_(static_cast<size_t>(limits.attention_parts), BlockPool(limits.kv_blocks)),
      last_part_(limits.attention_parts - 1) {
  DROVER_CHECK(Validate(limits).ok());
  limits_.max_sequences = std::min(limits.max_sequences, limits.max_step_tokens);
  limits_.max_model_len = std::min(limits.max_model_len, limits.kv_blocks * limits.block_tokens);
}

absl::Status Scheduler::Admit(Request request) {
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t room = limits_.max_model_len - prompt;
  if (Find(request.id) != nullptr) return AlreadyExists("request ", request.id, " is running already");
  if (running() + waiting() >= limits_.max_requests)
    return ResourceExhausted("requests: found ", running() + waiting(), ", expected fewer than ", limits_.max_requests);
  if (prompt == 0) return InvalidArgument("prompt: found no token ids, expected at least 1");
  if (request.max_tokens < 0) return InvalidArgument("max_tokens: found ", request.max_tokens, ", expected 0 or more");
  if (room < 0 || (room == 0 && request.max_tokens > 0))
    return InvalidArgument("prompt: found ", prompt, " token ids, expected at most ",
                           limits_.max_model_len - (request.max_tokens > 0 ? 1 : 0));
  auto sequence = std::make_unique<Sequence>();
  sequence->tokens = request.prompt;
  sequence->output_limit = std::min(request.max_tokens, room);
  sequence->arrival = arrivals_++;
  sequence->request = std::move(request);
  known_[sequence->request.id] = sequence.get();
  waiting_.push_back(std::move(sequence));
  return absl::OkStatus();
}

bool Scheduler::Cancel(RequestId id) {
  if (known_.erase(id) == 0) return false;
  const auto has_id = [id](const Owned& s) { return s->request.id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    PoolOf(**it).Release((*it)->blocks);
    running_.erase(it);
    return true;
  }
  waiting_.erase(std::find_if(waiting_.begin(), waiting_.end(), has_id));
  return true;
}

StepPlan Scheduler::Plan(StepPlan room) {
  Draft draft{.plan = std::move(room), .tokens = limits_.max_step_tokens, .score_rows = limits_.max_score_rows, .part_tokens = {}};
  draft.part_tokens.assign(pools_.size(), PartTokens(limits_.max_step_tokens, limits_.attention_parts));
  RenewAllKeys();       // before anyone is planned: it may preempt
  PlanDecodes(draft);   // nobody already talking is kept waiting
  PlanPrefills(draft);  // then prompt chunks, oldest first
  draft.plan.sequences.resize(draft.planned);
  draft.plan.step = draft.planned == 0 ? 0 : next_step_++;
  return std::move(draft.plan);
}

void Scheduler::RenewAllKeys() {
  for (size_t i = 0; i < running_.size();) {
    RenewKeys(*running_[i]);
    if (running_[i]->decoding() || MakeRoom(i)) ++i;
  }
}

// The blocks stay its own: they are written again.
void Scheduler::RenewKeys(Sequence& sequence) {
  const int64_t set = limits_.key_lengths.SetOf(sequence.length());
  if (set != sequence.key_set && sequence.cached > 0) {
    sequence.cached = 0;
    ++preemptions_;
  }
  sequence.key_set = set;
}

void Scheduler::PlanDecodes(Draft& draft) {
  for (size_t i = 0; i < running_.size();) {
    if (running_[i]->decoding()) {
      if (!MakeRoom(i)) continue;
      Add(*running_[i], draft);
    }
    ++i;
  }
}

void Scheduler::PlanPrefills(Draft& draft) {
  for (const Owned& sequence : running_)
    if (!sequence->decoding()) Add(*sequence, draft);
  while (draft.tokens > 0) {
    const Sequence* started = StartOldestWaiting(draft);
    if (started == nullptr) break;
    Add(*started, draft);
  }
}

// A sequence starts with the blocks of all its known tokens, so that a prompt under way never waits for one.
const Sequence* Scheduler::StartOldestWaiting(const Draft& draft) {
  if (waiting_.empty() || running() >= limits_.max_sequences) return nullptr;
  Sequence& next = *waiting_.front();
  const int64_t blocks = BlocksFor(next.length());
  const std::optional<int64_t> part = ChoosePart(blocks, draft);
  if (!part) return nullptr;
  next.part = last_part_ = *part;
  DROVER_CHECK(PoolOf(next).GrowTo(next.blocks, blocks));
  RenewKeys(next);
  next.MakeEdits();
  running_.insert(std::ranges::upper_bound(running_, waiting_.front(), Older), std::move(waiting_.front()));
  waiting_.pop_front();
  return &next;
}

// The part with most blocks to spare, of those that have tokens left in this step; equal ones take turns.
std::optional<int64_t> Scheduler::ChoosePart(int64_t blocks, const Draft& draft) const {
  const int64_t parts = limits_.attention_parts, most_running = PartTokens(limits_.max_step_tokens, parts);
  std::vector<int64_t> running(pools_.size());
  for (const Owned& sequence : running_) ++running[static_cast<size_t>(sequence->part)];
  std::optional<int64_t> best;
  int64_t most = blocks - 1;
  for (int64_t turn = 1; turn <= parts; ++turn) {
    const int64_t part = (last_part_ + turn) % parts;
    const auto index = static_cast<size_t>(part);
    if (pools_[index].available() <= most || draft.TokensOf(part) == 0 || running[index] >= most_running) continue;
    most = pools_[index].available();
    best = part;
  }
  return best;
}

bool Scheduler::MakeRoom(size_t index) {
  Sequence* sequence = running_[index].get();
  const int64_t needed = BlocksFor(sequence->length());
  while (!PoolOf(*sequence).GrowTo(sequence->blocks, needed)) {
    PreemptYoungest(sequence->part);
    if (index == running_.size() || running_[index].get() != sequence) return false;
  }
  return true;
}

// Its blocks go back; prompt and output are run again later. Nothing else is lost: a token depends on its request, the seed,
// its position and the tokens before it.
void Scheduler::PreemptYoungest(int64_t part) {
  const auto last = std::find_if(running_.rbegin(), running_.rend(), [part](const Owned& s) { return s->part == part; });
  DROVER_CHECK(last != running_.rend());
  Owned youngest = std::move(*last);
  running_.erase(std::next(last).base());
  PoolOf(*youngest).Release(youngest->blocks);
  youngest->cached = 0;
  youngest->edits = {};
  waiting_.insert(std::ranges::upper_bound(waiting_, youngest, Older), std::move(youngest));
  ++preemptions_;
}

int64_t Scheduler::blocks_used() const {
  int64_t used = 0;
  for (const BlockPool& pool : pools_) used += pool.used();
  return used;
}

void Scheduler::Add(const Sequence& sequence, Draft& draft) const {
  const int64_t first = sequence.cached;
  int64_t size = std::min(draft.TokensOf(sequence.part), sequence.left_to_run());
  LogitsWanted wanted = LogitsWanted::kNone;
  if (sequence.wants_prompt_rows() && sequence.scored < sequence.prompt_tokens()) {
    const bool again = first < sequence.scored;  // run again after a preemption: these rows were taken already
    size = std::min(size, again ? sequence.scored - first : draft.score_rows);
    wanted = again ? LogitsWanted::kNone : LogitsWanted::kAll;
  } else if (size == sequence.left_to_run()) {
    const bool nobody_looks = sequence.output_limit == 0 && sequence.request.logits == LogitsWanted::kNone;
    wanted = nobody_looks ? LogitsWanted::kNone : LogitsWanted::kLast;
  }
  if (size == 0) return;  // it has to wait for rows, or for another step
  draft.tokens -= size;
  draft.part_tokens[static_cast<size_t>(sequence.part)] -= size;
  if (wanted == LogitsWanted::kAll) draft.score_rows -= size;
  if (draft.planned == draft.plan.sequences.size()) draft.plan.sequences.emplace_back();
  StepSequence& chunk = draft.plan.sequences[draft.planned++];
  std::vector<int32_t> tokens = std::move(chunk.tokens), blocks = std::move(chunk.blocks);
  tokens.assign(sequence.tokens.begin() + first, sequence.tokens.begin() + first + size);
  blocks.assign(sequence.blocks.begin(), sequence.blocks.begin() + BlocksFor(first + size));
  chunk = {.id = Value(sequence.request.id),
           .position = first,
           .tokens = std::move(tokens),
           .blocks = std::move(blocks),
           .length = sequence.length(),
           .logits = wanted,
           .part = sequence.part};
}

FinishReason Scheduler::Commit(const StepSequence& planned, std::optional<int32_t> token) {
  const auto known = known_.find(RequestId{planned.id});
  DROVER_CHECK(known != known_.end());
  Sequence& sequence = *known->second;
  DROVER_CHECK_EQ(token.has_value(), sequence.samples_after(planned.end()));
  sequence.cached = planned.end();
  if (planned.logits != LogitsWanted::kNone) sequence.scored = sequence.cached;
  if (sequence.left_to_run() > 0) return FinishReason::kNone;
  if (token.has_value()) sequence.Append(*token);
  const FinishReason finish = FinishOf(sequence);
  if (finish != FinishReason::kNone) Cancel(sequence.request.id);
  return finish;
}

FinishReason Scheduler::FinishOf(const Sequence& sequence) const {
  const Request& request = sequence.request;
  const std::vector<int32_t>& ends = request.end_ids;
  const bool may_end = sequence.output_tokens() > request.min_tokens;
  if (may_end && std::find(ends.begin(), ends.end(), sequence.tokens.back()) != ends.end()) return FinishReason::kStop;
  return sequence.output_tokens() >= sequence.output_limit ? FinishReason::kLength : FinishReason::kNone;
}

const Sequence* Scheduler::Find(RequestId id) const {
  const auto known = known_.find(id);
  return known == known_.end() ? nullptr : known->second;
}

std::vector<RequestId> Scheduler::Requests() const {
  std::vector<RequestId> ids;
  for (const Owned& sequence : running_) ids.push_back(sequence->request.id);
  for (const Owned& sequence : waiting_) ids.push_back(sequence->request.id);
  return ids;
}

}  // namespace drover
