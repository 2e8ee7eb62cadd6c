// See scheduler.h.
#include "worker/scheduler.h"

#include <algorithm>

#include "common/check.h"

namespace drover {

absl::Status Validate(const SchedulerLimits& limits) {
  const std::pair<std::string_view, int64_t> fields[] = {
      {"block_tokens", limits.block_tokens},       {"kv_blocks", limits.kv_blocks},
      {"max_step_tokens", limits.max_step_tokens}, {"max_sequences", limits.max_sequences},
      {"max_model_len", limits.max_model_len},     {"max_requests", limits.max_requests},
      {"max_score_rows", limits.max_score_rows}};
  for (const auto& [name, value] : fields)
    if (value <= 0) return InvalidArgument(name, ": found ", value, ", expected more than 0");
  return absl::OkStatus();
}

// One token of every running sequence fits into a step, and one sequence of full length fits into the blocks: so no sequence
// can be stuck, whatever the limits say.
Scheduler::Scheduler(const SchedulerLimits& limits) : limits_(limits), pool_(limits.kv_blocks) {
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
  sequence->request = std::move(request);
  waiting_.push_back(std::move(sequence));
  return absl::OkStatus();
}

bool Scheduler::Cancel(RequestId id) {
  const auto has_id = [id](const Owned& s) { return s->request.id == id; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), has_id); it != running_.end()) {
    pool_.Release((*it)->blocks);
    running_.erase(it);
    return true;
  }
  const auto it = std::find_if(waiting_.begin(), waiting_.end(), has_id);
  if (it == waiting_.end()) return false;
  waiting_.erase(it);
  return true;
}

StepPlan Scheduler::Plan() {
  StepPlan plan;
  Budget budget{.tokens = limits_.max_step_tokens, .score_rows = limits_.max_score_rows};
  RenewAllKeys();              // before anyone is planned: it may preempt
  PlanDecodes(plan, budget);   // nobody already talking is kept waiting
  PlanPrefills(plan, budget);  // then prompt chunks, oldest first
  plan.step = plan.empty() ? 0 : next_step_++;
  return plan;
}

void Scheduler::RenewAllKeys() {
  for (size_t i = 0; i < running_.size(); ++i) {
    RenewKeys(*running_[i]);
    if (!running_[i]->decoding() && !MakeRoom(i)) break;
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

void Scheduler::PlanDecodes(StepPlan& plan, Budget& budget) {
  for (size_t i = 0; i < running_.size(); ++i) {
    if (!running_[i]->decoding()) continue;
    if (!MakeRoom(i)) break;  // it was the youngest
    plan.sequences.push_back(Chunk(*running_[i], budget));
    --budget.tokens;
  }
}

void Scheduler::PlanPrefills(StepPlan& plan, Budget& budget) {
  for (size_t i = 0; budget.tokens > 0; ++i) {
    if (i == running_.size() && !StartOldestWaiting()) break;
    if (running_[i]->decoding()) continue;
    StepSequence chunk = Chunk(*running_[i], budget);
    if (chunk.tokens.empty()) continue;
    const int64_t size = static_cast<int64_t>(chunk.tokens.size());
    budget.tokens -= size;
    if (chunk.logits == LogitsWanted::kAll) budget.score_rows -= size;
    plan.sequences.push_back(std::move(chunk));
  }
}

// A sequence starts with the blocks of all its known tokens, so that a prompt under way never waits for one.
bool Scheduler::StartOldestWaiting() {
  if (waiting_.empty() || running() >= limits_.max_sequences) return false;
  Sequence& next = *waiting_.front();
  if (!pool_.GrowTo(next.blocks, BlocksFor(next.length()))) return false;
  RenewKeys(next);
  running_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
  return true;
}

bool Scheduler::MakeRoom(size_t index) {
  const int64_t needed = BlocksFor(running_[index]->length());
  while (!pool_.GrowTo(running_[index]->blocks, needed)) {
    PreemptYoungest();
    if (index == running_.size()) return false;
  }
  return true;
}

// Its blocks go back; prompt and output are run again later. Nothing else is lost: a token depends on its request, the seed,
// its position and the tokens before it.
void Scheduler::PreemptYoungest() {
  Owned youngest = std::move(running_.back());
  running_.pop_back();
  pool_.Release(youngest->blocks);
  youngest->cached = 0;
  waiting_.push_front(std::move(youngest));
  ++preemptions_;
}

StepSequence Scheduler::Chunk(const Sequence& sequence, const Budget& budget) const {
  const int64_t first = sequence.cached;
  int64_t size = std::min(budget.tokens, sequence.left_to_run());
  LogitsWanted wanted = LogitsWanted::kNone;
  if (sequence.wants_prompt_rows() && sequence.scored < sequence.prompt_tokens()) {
    const bool again = first < sequence.scored;  // run again after a preemption: these rows were taken already
    size = std::min(size, again ? sequence.scored - first : budget.score_rows);
    wanted = again ? LogitsWanted::kNone : LogitsWanted::kAll;
  } else if (size == sequence.left_to_run()) {
    const bool nobody_looks = sequence.output_limit == 0 && sequence.request.logits == LogitsWanted::kNone;
    wanted = nobody_looks ? LogitsWanted::kNone : LogitsWanted::kLast;
  }
  const auto begin = sequence.tokens.begin() + first;
  const auto blocks = sequence.blocks.begin();
  return {.id = Value(sequence.request.id),
          .position = first,
          .tokens = {begin, begin + size},
          .blocks = {blocks, blocks + BlocksFor(first + size)},
          .length = sequence.length(),
          .logits = wanted};
}

bool Scheduler::Samples(const StepSequence& planned) const {
  const Sequence* sequence = Find(RequestId{planned.id});
  if (sequence == nullptr || sequence->output_limit == 0) return false;
  return planned.position + static_cast<int64_t>(planned.tokens.size()) == sequence->length();
}

std::vector<Outcome> Scheduler::Commit(const StepPlan& plan, const std::vector<std::optional<int32_t>>& tokens) {
  DROVER_CHECK_EQ(plan.sequences.size(), tokens.size());
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const StepSequence& planned = plan.sequences[i];
    const RequestId id{planned.id};
    const auto it = std::find_if(running_.begin(), running_.end(), [id](const Owned& s) { return s->request.id == id; });
    DROVER_CHECK(it != running_.end());
    Sequence& sequence = **it;
    DROVER_CHECK_EQ(tokens[i].has_value(), Samples(planned));
    sequence.cached += static_cast<int64_t>(planned.tokens.size());
    if (planned.logits != LogitsWanted::kNone) sequence.scored = sequence.cached;
    if (sequence.left_to_run() > 0) continue;
    Outcome outcome{.id = id, .position = sequence.output_tokens(), .token = tokens[i]};
    if (tokens[i].has_value()) sequence.tokens.push_back(*tokens[i]);
    outcome.finish = FinishOf(sequence);
    if (outcome.finish != FinishReason::kNone) Cancel(id);
    outcomes.push_back(outcome);
  }
  return outcomes;
}

FinishReason Scheduler::FinishOf(const Sequence& sequence) const {
  const Request& request = sequence.request;
  const std::vector<int32_t>& ends = request.end_ids;
  const bool may_end = sequence.output_tokens() > request.min_tokens;
  if (may_end && std::find(ends.begin(), ends.end(), sequence.tokens.back()) != ends.end()) return FinishReason::kStop;
  return sequence.output_tokens() >= sequence.output_limit ? FinishReason::kLength : FinishReason::kNone;
}

const Sequence* Scheduler::Find(RequestId id) const {
  for (const Owned& sequence : running_)
    if (sequence->request.id == id) return sequence.get();
  for (const Owned& sequence : waiting_)
    if (sequence->request.id == id) return sequence.get();
  return nullptr;
}

std::vector<RequestId> Scheduler::Requests() const {
  std::vector<RequestId> ids;
  for (const Owned& sequence : running_) ids.push_back(sequence->request.id);
  for (const Owned& sequence : waiting_) ids.push_back(sequence->request.id);
  return ids;
}

}  // namespace drover
