// See engine.h.
#include "worker/engine.h"

#include <utility>

#include "common/log.h"
#include "common/logprobs.h"

namespace drover {
namespace {

// Only a bound on the wait: every message wakes the loop.
constexpr std::chrono::seconds kIdleWait{10};

absl::Status CheckRequest(const Request& request, int64_t vocab) {
  DROVER_RETURN_IF_ERROR(Validate(request.sampling));
  for (size_t i = 0; i < request.prompt.size(); ++i)
    if (request.prompt[i] < 0 || request.prompt[i] >= vocab)
      return InvalidArgument("prompt[", i, "]: found token id ", request.prompt[i], ", expected 0 to ", vocab - 1);
  return absl::OkStatus();
}

int64_t RowsOf(const StepSequence& planned) {
  if (planned.logits == LogitsWanted::kAll) return static_cast<int64_t>(planned.tokens.size());
  return planned.logits == LogitsWanted::kLast ? 1 : 0;
}

}  // namespace

Engine::Engine(const EngineSettings& settings, StepRunner& runner, EventSink sink)
    : settings_(settings),
      runner_(runner),
      sink_(std::move(sink)),
      // Twice: a full house of requests can still be cancelled; one more for a wake-up.
      inbox_(static_cast<size_t>(2 * settings.inbox + 1)),
      scheduler_(settings.limits),
      guides_(settings.vocab) {}

absl::Status Engine::Submit(Request request, std::unique_ptr<Grammar> grammar) {
  if (draining_ || stopped_) return Unavailable("the group is draining");
  DROVER_RETURN_IF_ERROR(CheckRequest(request, settings_.vocab));
  const bool room = static_cast<int64_t>(inbox_.size()) < settings_.inbox;
  if (room && inbox_.TryPush(Arrival{std::move(request), std::move(grammar)})) return absl::OkStatus();
  if (inbox_.closed()) return Unavailable("the group has drained");
  return ResourceExhausted("inbox: found ", settings_.inbox, " requests waiting for a step, expected fewer");
}

absl::Status Engine::Cancel(RequestId id) {
  return inbox_.TryPush(id) ? absl::OkStatus() : ResourceExhausted("inbox: full, request ", id, " was not cancelled");
}

// A full inbox wakes the loop as well, so a wake-up that finds no place is not missed.
void Engine::Drain() {
  draining_ = true;
  inbox_.TryPush(std::monostate());
}

void Engine::Stop() {
  stopped_ = true;
  inbox_.TryPush(std::monostate());
}

EngineStats Engine::stats() {
  MutexLock lock(stats_mutex_);
  return stats_;
}

absl::Status Engine::RunLoop() {
  const absl::Status status = RunSteps();
  Send();
  return status;
}

absl::Status Engine::RunSteps() {
  while (true) {
    if (stopped_) return Aborted("the engine was stopped");
    const bool last = draining_;  // read before the inbox: nothing is submitted after it
    TakeArrivals();
    if (last && Idle()) {
      inbox_.Close();  // whoever submits from now on is told
      TakeArrivals();
      if (Idle()) return absl::OkStatus();
    }
    if (const absl::Status status = Step(); !status.ok()) {
      FailAll(status);
      return status;
    }
  }
}

absl::Status Engine::Step() {
  plan_ = scheduler_.Plan(std::move(plan_));
  if (plan_.empty()) {
    rested_ = true;
    Send();
    Publish();
    // The flags are raised before their wake-up is sent, so one that was taken already is seen here.
    if (!draining_ && !stopped_) inbox_.WaitForItem(kIdleWait);
    return absl::OkStatus();
  }
  if (settings_.draws) PlanDraws(plan_);
  DROVER_ASSIGN_OR_RETURN(const StepLogits logits, runner_.RunWhile(plan_, [this] { Meanwhile(); }));
  DROVER_RETURN_IF_ERROR(CheckLogits(plan_, logits));
  if (!std::exchange(rested_, false) && logits.gap_seconds) counts_.gaps.Add(*logits.gap_seconds);
  Settle(plan_, logits);
  Publish();
  return absl::OkStatus();
}

void Engine::Send() {
  if (!news_.empty()) sink_(news_);
  news_.clear();
}

void Engine::Meanwhile() {
  Send();
  if (guides_.empty()) return;
  for (const StepSequence& planned : plan_.sequences)
    if (scheduler_.Find(RequestId{planned.id})->samples_after(planned.end())) guides_.Allow(RequestId{planned.id});
}

TokenDraw Engine::DrawOf(const Sequence& sequence) const {
  const Request& request = sequence.request;
  return {.rule = RuleOf(request.sampling, sequence.output_tokens()), .edits = sequence.edits.all(), .allowed = guides_.MaskOf(request.id),
          .scores = request.logprobs};
}

void Engine::PlanDraws(StepPlan& plan) const {
  for (StepSequence& planned : plan.sequences) {
    const Sequence& sequence = *scheduler_.Find(RequestId{planned.id});
    const Request& request = sequence.request;
    if (planned.logits != LogitsWanted::kLast || !sequence.samples_after(planned.end()) || request.logprobs > kScoresMax ||
        request.logits != LogitsWanted::kNone)
      continue;
    if (static_cast<int64_t>(sequence.edits.all().size()) <= kEditsMax) planned.draw = DrawOf(sequence);
  }
}

absl::Status Engine::CheckLogits(const StepPlan& plan, const StepLogits& logits) const {
  const auto drawn = static_cast<int64_t>(logits.drawn.size()) - std::ranges::count(logits.drawn, kNotDrawn);
  const bool ids = std::ranges::all_of(logits.drawn, [this](int32_t id) { return id >= kNotDrawn && id < settings_.vocab; });
  if (ids && logits.rows == plan.logit_rows() && logits.vocab == settings_.vocab &&
      (logits.drawn.empty() || static_cast<int64_t>(logits.drawn.size()) == logits.rows) &&
      (logits.scores.empty() || logits.scores.size() == logits.drawn.size()) &&
      static_cast<int64_t>(logits.values.size()) == (logits.rows - drawn) * logits.vocab)
    return absl::OkStatus();
  return Internal("step ", plan.step, ": found logits [", logits.rows, ", ", logits.vocab, "], expected [", plan.logit_rows(), ", ",
                  settings_.vocab, "]");
}

bool Engine::Idle() const { return scheduler_.running() + scheduler_.waiting() == 0; }

void Engine::TakeArrivals() {
  for (Letter& letter : inbox_.TakeAll()) {
    if (Arrival* arrival = std::get_if<Arrival>(&letter)) Arrive(std::move(*arrival));
    if (const RequestId* id = std::get_if<RequestId>(&letter)) Leave(*id);
  }
}

void Engine::Arrive(Arrival arrival) {
  const RequestId id = arrival.request.id;
  const absl::Status status = scheduler_.Admit(std::move(arrival.request));
  if (status.ok()) {
    guides_.Add(id, std::move(arrival.grammar));
  } else if (absl::IsAlreadyExists(status)) {  // an error event would end the request that runs under this id
    Log(LogLevel::kWarning, "request refused", {{"request", Cat(id)}, {"reason", Message(status)}});
  } else {
    news_.push_back({.id = id, .finish = FinishReason::kError, .error = Message(status)});
  }
}

void Engine::Leave(RequestId id) {
  if (!scheduler_.Cancel(id)) return;
  Forget(id);
  news_.push_back({.id = id, .finish = FinishReason::kCancelled});
}

void Engine::Forget(RequestId id) {
  prompt_scores_.erase(id);
  guides_.Remove(id);
}

// Rows of logits lie in plan order.
void Engine::Settle(const StepPlan& plan, const StepLogits& logits) {
  news_.reserve(news_.size() + plan.sequences.size());
  std::span<const float> rest(logits.values);
  size_t row = 0;
  for (const StepSequence& planned : plan.sequences) {
    const auto rows = static_cast<size_t>(RowsOf(planned));
    Given given;
    if (rows == 1 && !logits.drawn.empty() && logits.drawn[row] != kNotDrawn) given.drawn = logits.drawn[row];
    if (given.drawn && !logits.scores.empty()) given.scores = &logits.scores[row];
    given.rows = rest.first(given.drawn ? 0 : rows * static_cast<size_t>(logits.vocab));
    if (!Settle(planned, given, news_.emplace_back())) news_.pop_back();
    rest = rest.subspan(given.rows.size());
    row += rows;
  }
  counts_.steps_done += 1;
}

// A sequence whose row cannot be sampled ends alone, with an error; the others go on.
bool Engine::Settle(const StepSequence& planned, const Given& given, TokenEvent& event) {
  const Sequence& sequence = *scheduler_.Find(RequestId{planned.id});
  const int64_t prompt_left = std::max<int64_t>(0, sequence.prompt_tokens() - planned.position);
  counts_.prompt_tokens_done += std::min(prompt_left, static_cast<int64_t>(planned.tokens.size()));
  event.id = sequence.request.id;
  event.position = sequence.output_tokens();
  absl::Status status = guides_.StatusOf(event.id);
  if (status.ok() && given.drawn) status = TakeDrawn(sequence.request, given, event);
  if (status.ok() && !given.rows.empty()) status = Score(sequence, planned, given.rows, event);
  if (status.ok()) status = Commit(planned, event);
  if (!status.ok()) {
    event = {.id = event.id, .position = event.position, .finish = FinishReason::kError, .error = Message(status),
             .bad_request = absl::IsInvalidArgument(status)};
    scheduler_.Cancel(event.id);
  }
  if (!event.token.has_value() && event.finish == FinishReason::kNone) return !event.logits.empty();
  if (auto scores = prompt_scores_.extract(event.id)) event.prompt_logprobs = std::move(scores.mapped());
  if (event.finish != FinishReason::kNone) Forget(event.id);
  return true;
}

absl::Status Engine::TakeDrawn(const Request& request, const Given& given, TokenEvent& event) const {
  if (guides_.IsComplete(event.id)) return absl::OkStatus();
  const int32_t token = *given.drawn;
  if (token < 0) return Internal("logits: no id may be sampled");
  event.token = token;
  if (request.logprobs < 0) return absl::OkStatus();
  const int32_t count = given.scores != nullptr ? given.scores->count : -1;
  const auto expected = static_cast<int32_t>(std::min<int64_t>(request.logprobs, settings_.vocab));
  if (count != expected) return Internal("scores: found ", count, " of the best ids, expected ", expected);
  event.logprob = {token, given.scores->logprob};
  event.top.assign(given.scores->best, given.scores->best + count);
  return absl::OkStatus();
}

// An output that is complete ends, whatever the request says of its end; also where no token was left to draw.
absl::Status Engine::Commit(const StepSequence& planned, TokenEvent& event) {
  const bool due = scheduler_.Find(event.id)->samples_after(planned.end());
  if (event.token) DROVER_RETURN_IF_ERROR(guides_.Accept(event.id, *event.token));
  if (event.token || !due) event.finish = scheduler_.Commit(planned, event.token);
  counts_.output_tokens_done += event.token.has_value();
  if (!due || !guides_.IsComplete(event.id)) return absl::OkStatus();
  scheduler_.Cancel(event.id);
  event.finish = FinishReason::kStop;
  return absl::OkStatus();
}

absl::Status Engine::Score(const Sequence& sequence, const StepSequence& planned, std::span<const float> rows, TokenEvent& event) {
  if (planned.logits == LogitsWanted::kAll && sequence.request.prompt_logprobs) ScorePrompt(sequence, planned, rows);
  CopyLogits(event, sequence, planned, rows);
  if (!sequence.samples_after(planned.end())) return absl::OkStatus();
  return SampleInto(event, sequence, rows.last(static_cast<size_t>(settings_.vocab)));
}

// kAll: every row as it comes; kLast: only the row that follows all known tokens.
void Engine::CopyLogits(TokenEvent& event, const Sequence& sequence, const StepSequence& planned,
                        std::span<const float> rows) const {
  const int64_t end = planned.end();
  const LogitsWanted wanted = sequence.request.logits;
  if (wanted == LogitsWanted::kNone || (wanted == LogitsWanted::kLast && end != sequence.length())) return;
  if (wanted == LogitsWanted::kLast) rows = rows.last(static_cast<size_t>(settings_.vocab));
  event.logits.assign(rows.begin(), rows.end());
  event.logits_first_row = end - static_cast<int64_t>(rows.size()) / settings_.vocab;
}

// Row i scores token i + 1: ln p(token[i + 1] | token[0..i]).
void Engine::ScorePrompt(const Sequence& sequence, const StepSequence& planned, std::span<const float> rows) {
  std::vector<float>& scores = prompt_scores_[sequence.request.id];
  const size_t vocab = static_cast<size_t>(settings_.vocab);
  for (size_t i = 0; i < planned.tokens.size(); ++i) {
    const int64_t next = planned.position + static_cast<int64_t>(i) + 1;
    if (next >= sequence.prompt_tokens()) break;
    const std::span<const float> row = rows.subspan(i * vocab, vocab);
    scores.push_back(LogprobOf(row, LogSumExp(row), sequence.tokens[static_cast<size_t>(next)]).logprob);
  }
}

absl::Status Engine::SampleInto(TokenEvent& event, const Sequence& sequence, std::span<const float> row) {
  const Request& request = sequence.request;
  if (guides_.IsComplete(event.id)) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const int32_t token, sampler_.Sample(row, DrawOf(sequence)));
  event.token = token;
  if (request.logprobs < 0) return absl::OkStatus();
  const double log_sum_exp = LogSumExp(row);
  event.logprob = LogprobOf(row, log_sum_exp, token);
  event.top = TopLogprobs(row, log_sum_exp, request.logprobs);
  return absl::OkStatus();
}

void Engine::FailAll(const absl::Status& status) {
  stopped_ = true;
  TakeArrivals();
  for (const RequestId id : scheduler_.Requests()) {
    news_.push_back({.id = id, .finish = FinishReason::kError, .error = Message(status)});
    scheduler_.Cancel(id);
    Forget(id);
  }
  Publish();
}

void Engine::Publish() {
  counts_.running = scheduler_.running();
  counts_.waiting = scheduler_.waiting();
  counts_.blocks_used = scheduler_.blocks_used();
  counts_.preemptions = scheduler_.preemptions();
  MutexLock lock(stats_mutex_);
  stats_ = counts_;
}

}  // namespace drover
