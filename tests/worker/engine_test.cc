// Engine on a toy model: the same tokens alone and in company, through preemption, cancel, drain and failure.
#include "worker/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "common/logprobs.h"
#include "tests/worker/toy_runner.h"

namespace drover {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

constexpr auto kPatience = std::chrono::seconds(20);

// Collects events; any thread may wait for the end of a number of requests.
class Collector {
 public:
  void Take(std::vector<TokenEvent> batch) {
    MutexLock lock(mutex_);
    for (TokenEvent& event : batch) {
      ended_ += event.finish != FinishReason::kNone;
      events_[Value(event.id)].push_back(std::move(event));
    }
    changed_.NotifyAll();
  }
  bool WaitForEnds(int64_t count) {
    return WaitFor([&] { return ended_ >= count; });
  }
  bool WaitForFirstEvent() {
    return WaitFor([&] { return !events_.empty(); });
  }
  std::vector<TokenEvent> Of(uint64_t id) {
    MutexLock lock(mutex_);
    return events_[id];
  }
  std::vector<int32_t> Tokens(uint64_t id) {
    std::vector<int32_t> tokens;
    for (const TokenEvent& event : Of(id)) {
      if (!event.token.has_value()) continue;
      EXPECT_EQ(event.position, static_cast<int64_t>(tokens.size()));
      tokens.push_back(*event.token);
    }
    return tokens;
  }
  FinishReason Finish(uint64_t id) {
    const std::vector<TokenEvent> events = Of(id);
    return events.empty() ? FinishReason::kNone : events.back().finish;
  }

 private:
  template <class Condition>
  bool WaitFor(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (!condition()) {
      if (!changed_.WaitUntil(mutex_, deadline)) return condition();
    }
    return true;
  }
  Mutex mutex_;
  CondVar changed_;
  std::map<uint64_t, std::vector<TokenEvent>> events_;
  int64_t ended_ = 0;
};

// An engine on its own thread.
struct Running {
  explicit Running(SchedulerLimits limits = {}, int64_t inbox = 64)
      : engine({.limits = With(limits), .vocab = ToyRunner::kVocab, .inbox = inbox}, runner,
               [this](std::vector<TokenEvent> batch) { seen.Take(std::move(batch)); }) {}
  ~Running() { Join().IgnoreError(); }
  void Start() {
    thread = std::thread([this] { result = engine.RunLoop(); });
  }
  absl::Status Join() {
    if (thread.joinable()) {
      engine.Stop();
      thread.join();
    }
    return result;
  }
  static SchedulerLimits With(SchedulerLimits limits) {
    limits.block_tokens = ToyRunner::kBlockTokens;
    if (limits.kv_blocks == 0) limits.kv_blocks = 200;
    limits.max_model_len = 64;
    return limits;
  }

  ToyRunner runner;
  Collector seen;
  Engine engine;
  absl::Status result;
  std::thread thread;
};

Request MakeRequest(uint64_t id, int64_t max_tokens, Sampling sampling = {.temperature = 0}) {
  Request request{.id = RequestId{id}, .sampling = sampling, .max_tokens = max_tokens};
  for (uint64_t i = 0; i < 3 + id % 9; ++i) request.prompt.push_back(static_cast<int32_t>((id * 7 + i) % ToyRunner::kVocab));
  return request;
}

Request Varied(uint64_t id) {
  return MakeRequest(id, 12, {.temperature = id % 3 == 0 ? 0.0 : 0.8, .top_k = id % 4 == 1 ? 5 : 0,
                              .repetition_penalty = id % 5 == 0 ? 1.3 : 1.0, .frequency_penalty = id % 2 == 0 ? 0.8 : 0, .seed = id * 31});
}

std::vector<int32_t> Alone(const Request& request) {
  Running one;
  EXPECT_TRUE(one.engine.Submit(request).ok());
  one.Start();
  EXPECT_TRUE(one.seen.WaitForEnds(1));
  return one.seen.Tokens(Value(request.id));
}

TEST(EngineTest, GreedyTokensAreThoseOfTheModel) {
  const Request request = MakeRequest(1, 5);
  std::vector<int32_t> history = request.prompt, expected;
  for (int i = 0; i < 5; ++i) {
    const std::vector<float> row = ToyRunner::Row(history);
    expected.push_back(static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
    history.push_back(expected.back());
  }
  EXPECT_EQ(Alone(request), expected);
}

TEST(EngineTest, SixteenAtOnceGetTheSameTokensAsAlone) {
  Running many({.max_step_tokens = 7, .max_sequences = 6});
  many.Start();
  std::vector<std::thread> clients;
  for (uint64_t id = 1; id <= 16; ++id)
    clients.emplace_back([&many, id] { EXPECT_TRUE(many.engine.Submit(Varied(id)).ok()); });
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(many.seen.WaitForEnds(16));
  for (uint64_t id = 1; id <= 16; ++id) {
    EXPECT_EQ(many.seen.Tokens(id), Alone(Varied(id))) << "request " << id;
    EXPECT_EQ(many.seen.Finish(id), FinishReason::kLength);
  }
}

TEST(EngineTest, PreemptionChangesNoToken) {
  Running tight({.kv_blocks = 16, .max_step_tokens = 9});
  for (uint64_t id = 1; id <= 8; ++id) ASSERT_TRUE(tight.engine.Submit(Varied(id)).ok());
  tight.Start();
  ASSERT_TRUE(tight.seen.WaitForEnds(8));
  for (uint64_t id = 1; id <= 8; ++id) EXPECT_EQ(tight.seen.Tokens(id), Alone(Varied(id))) << "request " << id;
  EXPECT_GT(tight.engine.stats().preemptions, 0);
  EXPECT_EQ(tight.engine.stats().blocks_used, 0);
}

// Of five steps the first follows no other; of three later ones the first follows a rest.
TEST(EngineTest, CountsGapsBetweenStepsButNotRests) {
  Running one;
  one.runner.gap_seconds = 60e-6;
  ASSERT_TRUE(one.engine.Submit(MakeRequest(1, 5)).ok());
  one.Start();
  ASSERT_TRUE(one.seen.WaitForEnds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the engine rests
  ASSERT_TRUE(one.engine.Submit(MakeRequest(2, 3)).ok());
  ASSERT_TRUE(one.seen.WaitForEnds(2));
  HostGaps expected;
  for (int i = 0; i < 4 + 2; ++i) expected.Add(60e-6);
  EXPECT_EQ(one.engine.stats().gaps, expected);
}

// Calls back as late as it may: when the step is done.
class LateRunner : public ToyRunner {
 public:
  absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) override {
    begins(plan);
    absl::StatusOr<StepLogits> logits = Run(plan);
    if (logits.ok()) meanwhile();
    return logits;
  }
  std::function<void(const StepPlan&)> begins = [](const StepPlan&) {};
};

// Runs requests, whose ids are 1, 2 and so on.
struct Late {
  explicit Late(int64_t requests) {
    for (int64_t id = 1; id <= requests; ++id) EXPECT_TRUE(engine.Submit(MakeRequest(static_cast<uint64_t>(id), 4)).ok());
  }
  LateRunner runner;
  Collector seen;
  Engine engine{{.limits = Running::With({}), .vocab = ToyRunner::kVocab}, runner, [this](const std::vector<TokenEvent>& batch) { seen.Take(batch); }};
};

TEST(EngineTest, TokensAreSentWhileTheNextStepIsUnderWayOrAtOnceWhenNoneFollows) {
  Late group(1);
  std::vector<size_t> sent;
  group.runner.begins = [&](const StepPlan&) { sent.push_back(group.seen.Of(1).size()); };
  group.engine.Drain();
  ASSERT_TRUE(group.engine.RunLoop().ok());
  EXPECT_THAT(sent, ElementsAre(0, 0, 1, 2));
  EXPECT_EQ(group.seen.Tokens(1), Alone(MakeRequest(1, 4)));
  EXPECT_EQ(group.seen.Finish(1), FinishReason::kLength);
}

TEST(EngineTest, TokensOfAStepAreSentThoughTheNextOneFails) {
  Late group(2);
  group.runner.before = [](const StepPlan& plan) { return plan.step == 3 ? DeadlineExceeded("rank 1 is late") : absl::OkStatus(); };
  EXPECT_EQ(Message(group.engine.RunLoop()), "rank 1 is late");
  for (uint64_t id = 1; id <= 2; ++id) {
    EXPECT_EQ(group.seen.Tokens(id).size(), 2u);
    EXPECT_EQ(group.seen.Of(id).back().error, "rank 1 is late");
  }
}

TEST(EngineTest, TokensOfTheLastStepAreSentThoughTheEngineStops) {
  Late group(1);
  group.runner.begins = [&](const StepPlan& plan) {
    if (plan.step == 3) group.engine.Stop();
  };
  EXPECT_TRUE(absl::IsAborted(group.engine.RunLoop()));
  EXPECT_EQ(group.seen.Tokens(1).size(), 3u);
  EXPECT_EQ(group.seen.Finish(1), FinishReason::kNone);
}

TEST(EngineTest, ACancelledRequestHearsItsLastTokenFirst) {
  Late group(2);
  group.runner.begins = [&](const StepPlan& plan) {
    if (plan.step == 2) group.engine.Cancel(RequestId{1}).IgnoreError();
  };
  group.engine.Drain();
  ASSERT_TRUE(group.engine.RunLoop().ok());
  ASSERT_THAT(group.seen.Of(1), SizeIs(3));
  EXPECT_EQ(group.seen.Tokens(1).size(), 2u);
  EXPECT_EQ(group.seen.Of(1).back().finish, FinishReason::kCancelled);
  EXPECT_EQ(group.seen.Tokens(2).size(), 4u);
}

TEST(EngineTest, CancelEndsTheRequestAndFreesItsBlocks) {
  Running busy;
  std::atomic<int64_t> steps = 0;
  busy.runner.before = [&](const StepPlan&) {
    return ++steps == 3 ? busy.engine.Cancel(RequestId{1}) : absl::OkStatus();
  };
  ASSERT_TRUE(busy.engine.Submit(MakeRequest(1, 40)).ok());
  busy.Start();
  ASSERT_TRUE(busy.seen.WaitForEnds(1));
  EXPECT_EQ(busy.seen.Finish(1), FinishReason::kCancelled);
  EXPECT_EQ(busy.seen.Tokens(1).size(), 3u);
  EXPECT_TRUE(busy.engine.Cancel(RequestId{77}).ok());  // unknown: no event
  ASSERT_TRUE(busy.engine.Submit(MakeRequest(2, 1)).ok());
  ASSERT_TRUE(busy.seen.WaitForEnds(2));
  EXPECT_THAT(busy.seen.Of(77), SizeIs(0));
  EXPECT_TRUE(absl::IsAborted(busy.Join()));
  EXPECT_EQ(busy.engine.stats().blocks_used, 0);
}

TEST(EngineTest, DrainFinishesWhatRunsAndTakesNothingNew) {
  Running group;
  ASSERT_TRUE(group.engine.Submit(MakeRequest(1, 9)).ok());
  group.engine.Drain();
  EXPECT_EQ(group.engine.Submit(MakeRequest(2, 1)).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(group.engine.RunLoop().ok());
  EXPECT_EQ(group.seen.Tokens(1).size(), 9u);
}

TEST(EngineTest, AnIdleEngineDrainsAtOnce) {
  Running group;
  group.Start();
  group.engine.Drain();
  group.thread.join();
  EXPECT_TRUE(group.result.ok());
}

TEST(EngineTest, AFailedStepEndsEveryRequestWithItsReason) {
  Running group({.max_sequences = 1});
  group.runner.before = [](const StepPlan& plan) { return plan.step == 3 ? DeadlineExceeded("rank 1 is late") : absl::OkStatus(); };
  for (uint64_t id = 1; id <= 2; ++id) ASSERT_TRUE(group.engine.Submit(MakeRequest(id, 9)).ok());
  EXPECT_EQ(Message(group.engine.RunLoop()), "rank 1 is late");
  for (uint64_t id = 1; id <= 2; ++id) {
    EXPECT_EQ(group.seen.Finish(id), FinishReason::kError);
    EXPECT_EQ(group.seen.Of(id).back().error, "rank 1 is late");
  }
  EXPECT_EQ(group.engine.stats().running + group.engine.stats().waiting, 0);
}

TEST(EngineTest, LogprobsAndRowsAreThoseOfTheModel) {
  Running group({.max_score_rows = 2});
  Request request = MakeRequest(4, 3);
  request.logprobs = 2;
  request.prompt_logprobs = true;
  request.logits = LogitsWanted::kAll;
  ASSERT_TRUE(group.engine.Submit(request).ok());
  group.Start();
  ASSERT_TRUE(group.seen.WaitForEnds(1));
  std::vector<float> rows, prompt_scores, expected, expected_scores;
  std::vector<int32_t> history;
  for (const TokenEvent& event : group.seen.Of(4)) {
    EXPECT_EQ(event.logits_first_row * ToyRunner::kVocab, static_cast<int64_t>(rows.size()));
    rows.insert(rows.end(), event.logits.begin(), event.logits.end());
    prompt_scores.insert(prompt_scores.end(), event.prompt_logprobs.begin(), event.prompt_logprobs.end());
    if (event.token.has_value()) {
      ASSERT_THAT(event.top, SizeIs(2));
      EXPECT_EQ(event.top[0].id, *event.token);
      EXPECT_EQ(event.logprob->logprob, event.top[0].logprob);
    }
  }
  std::vector<int32_t> all = request.prompt;
  const std::vector<int32_t> output = group.seen.Tokens(4);
  all.insert(all.end(), output.begin(), output.end());
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    history.push_back(all[i]);
    const std::vector<float> row = ToyRunner::Row(history);
    expected.insert(expected.end(), row.begin(), row.end());
    if (i + 1 < request.prompt.size()) expected_scores.push_back(LogprobOf(row, LogSumExp(row), all[i + 1]).logprob);
  }
  EXPECT_EQ(rows, expected);
  EXPECT_EQ(prompt_scores, expected_scores);
}

TEST(EngineTest, NoTokensAskedForScoresThePrompt) {
  Running group;
  Request request = MakeRequest(5, 0);
  request.prompt_logprobs = true;
  request.logits = LogitsWanted::kLast;
  ASSERT_TRUE(group.engine.Submit(request).ok());
  group.Start();
  ASSERT_TRUE(group.seen.WaitForEnds(1));
  const std::vector<TokenEvent> events = group.seen.Of(5);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].token, std::nullopt);
  EXPECT_EQ(events[0].finish, FinishReason::kLength);
  EXPECT_THAT(events[0].prompt_logprobs, SizeIs(request.prompt.size() - 1));
  EXPECT_EQ(events[0].logits, ToyRunner::Row(request.prompt));
  EXPECT_EQ(events[0].logits_first_row, static_cast<int64_t>(request.prompt.size()) - 1);
}

TEST(EngineTest, EndIdsAreHeldBackBeforeTheMinimum) {
  Request request = MakeRequest(6, 9);
  request.end_ids = {Alone(request)[0], Alone(request)[1]};
  EXPECT_EQ(Alone(request).size(), 1u);
  request.min_tokens = 4;
  const std::vector<int32_t> tokens = Alone(request);
  ASSERT_GE(tokens.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_THAT(request.end_ids, testing::Not(testing::Contains(tokens[i])));
}

TEST(EngineTest, RefusesByName) {
  Running group({.max_requests = 2}, 2);
  Request request = MakeRequest(1, 1);
  request.prompt[1] = 50;
  EXPECT_EQ(Message(group.engine.Submit(request)), "prompt[1]: found token id 50, expected 0 to 49");
  EXPECT_EQ(group.engine.Submit(MakeRequest(1, 1, {.temperature = NAN})).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(group.engine.Submit(MakeRequest(1, 1)).ok());
  Request too_long = MakeRequest(2, 1);
  too_long.prompt.assign(64, 1);
  ASSERT_TRUE(group.engine.Submit(too_long).ok());  // refused by the scheduler, as an event
  EXPECT_EQ(group.engine.Submit(MakeRequest(3, 1)).code(), absl::StatusCode::kResourceExhausted);
  group.Start();
  ASSERT_TRUE(group.seen.WaitForEnds(2));
  EXPECT_EQ(group.seen.Of(2).back().error, "prompt: found 64 token ids, expected at most 63");
}

TEST(EngineTest, ARowWithoutNumbersEndsOneRequestOnly) {
  class Poisoned : public ToyRunner {
   public:
    absl::StatusOr<StepLogits> Run(const StepPlan& plan) override {
      absl::StatusOr<StepLogits> logits = ToyRunner::Run(plan);
      if (plan.sequences[0].id == 1) logits->values[3] = NAN;
      return logits;
    }
  };
  Poisoned runner;
  Collector seen;
  Engine engine({.limits = Running::With({}), .vocab = ToyRunner::kVocab, .inbox = 8}, runner,
                [&](std::vector<TokenEvent> batch) { seen.Take(std::move(batch)); });
  for (uint64_t id = 1; id <= 2; ++id) ASSERT_TRUE(engine.Submit(MakeRequest(id, 4)).ok());
  engine.Drain();
  ASSERT_TRUE(engine.RunLoop().ok());
  EXPECT_EQ(seen.Of(1).back().error, "logits[3]: found nan, expected a number");
  EXPECT_EQ(seen.Tokens(2).size(), 4u);
  EXPECT_EQ(engine.stats().blocks_used, 0);
}

// Draws where the plan says how, and tells scores, as a device does; other rows come back.
class DrawingRunner : public ToyRunner {
 public:
  int64_t drawn = 0, given = 0;
  bool tells = true;  // scores

  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override {
    DROVER_ASSIGN_OR_RETURN(const StepLogits all, ToyRunner::Run(plan));
    StepLogits logits{.rows = all.rows, .vocab = all.vocab, .values = {}, .drawn = {}};
    std::span<const float> rest(all.values);
    for (const StepSequence& s : plan.sequences) {
      const size_t rows = s.logits == LogitsWanted::kAll ? s.tokens.size() : s.logits == LogitsWanted::kLast ? 1 : 0;
      for (size_t i = 0; i < rows; ++i, rest = rest.subspan(kVocab)) Take(rest.first(kVocab), i + 1 == rows ? s.draw : std::nullopt, logits);
    }
    return logits;
  }

 private:
  void Take(std::span<const float> row, const std::optional<TokenDraw>& draw, StepLogits& logits) {
    ++(draw ? drawn : given);
    logits.drawn.push_back(draw ? *sampler_.Sample(row, *draw) : kNotDrawn);
    RowScores scores;
    if (draw && draw->scores >= 0) {
      const double sum = LogSumExp(row) + 1;  // a difference to what the engine would compute itself
      const std::vector<TokenLogprob> best = TopLogprobs(row, sum, draw->scores);
      scores = {.logprob = LogprobOf(row, sum, logits.drawn.back()).logprob, .count = static_cast<int32_t>(best.size()), .best = {}};
      std::ranges::copy(best, scores.best);
    }
    if (tells) logits.scores.push_back(scores);
    if (!draw) logits.values.insert(logits.values.end(), row.begin(), row.end());
  }
  Sampler sampler_;
};

// Runs requests, whose ids are 1, 2 and so on, on a runner that draws.
std::unique_ptr<Collector> RunDrawing(DrawingRunner& runner, const std::vector<Request>& requests) {
  auto seen = std::make_unique<Collector>();
  Engine engine({.limits = Running::With({.max_sequences = 4}), .vocab = ToyRunner::kVocab, .draws = true}, runner,
                [&](std::vector<TokenEvent> batch) { seen->Take(std::move(batch)); });
  for (const Request& request : requests) EXPECT_TRUE(engine.Submit(request).ok());
  engine.Drain();
  EXPECT_TRUE(engine.RunLoop().ok());
  return seen;
}

TEST(EngineTest, RunnersDrawWhatTheHostWouldSample) {
  const Sampling kinds[] = {{.temperature = 0.8},
                            {.temperature = 0, .repetition_penalty = 1.5},
                            {.temperature = 0.9, .presence_penalty = 1, .frequency_penalty = 0.5},
                            {.temperature = 0, .frequency_penalty = 2},
                            {.temperature = 1, .top_p = 0.8, .logit_bias = {{3, 1.5f}, {7, -100}, {99, 5}}},
                            {.temperature = 0.7, .top_k = 4, .repetition_penalty = 0.7, .logit_bias = {{3, 0.5f}}}};
  std::vector<Request> requests;
  for (const Sampling& sampling : kinds) {
    requests.push_back(MakeRequest(requests.size() + 1, 20, sampling));
    requests.back().sampling.seed = requests.size();
    requests.back().min_tokens = static_cast<int64_t>(requests.size()) * 2;
    for (int32_t id = 0; id < ToyRunner::kVocab; id += 3) requests.back().end_ids.push_back(id);
  }
  DrawingRunner runner;
  const std::unique_ptr<Collector> seen = RunDrawing(runner, requests);
  EXPECT_EQ(runner.given, 0);
  EXPECT_GT(runner.drawn, 0);
  for (const Request& request : requests) EXPECT_EQ(seen->Tokens(Value(request.id)), Alone(request)) << "request " << Value(request.id);
}

TEST(EngineTest, ScoresOfARunnerThatDrawsReachTheEvents) {
  std::vector<Request> requests;
  for (const int32_t logprobs : {0, 3, kScoresMax, -1}) {
    requests.push_back(MakeRequest(requests.size() + 1, 5, {.temperature = 0.9, .seed = requests.size(), .logit_bias = {{3, 50}}}));
    requests.back().logprobs = logprobs;
  }
  DrawingRunner runner;
  const std::unique_ptr<Collector> seen = RunDrawing(runner, requests);
  EXPECT_EQ(runner.given, 0);
  for (const Request& request : requests) {
    std::vector<int32_t> history = request.prompt;
    for (const TokenEvent& event : seen->Of(Value(request.id))) {
      const std::vector<float> row = ToyRunner::Row(history);
      const std::vector<TokenLogprob> best = TopLogprobs(row, LogSumExp(row) + 1, std::max(request.logprobs, 0));
      ASSERT_EQ(event.logprob.has_value(), request.logprobs >= 0);
      EXPECT_EQ(event.logprob.value_or(TokenLogprob{}).logprob, event.logprob ? LogprobOf(row, LogSumExp(row) + 1, *event.token).logprob : 0);
      ASSERT_THAT(event.top, SizeIs(best.size()));
      for (size_t i = 0; i < best.size(); ++i) EXPECT_TRUE(event.top[i].id == best[i].id && event.top[i].logprob == best[i].logprob);
      history.push_back(*event.token);
    }
    EXPECT_THAT(history, SizeIs(request.prompt.size() + 5));
  }
  runner.tells = false;
  EXPECT_EQ(RunDrawing(runner, {requests[1]})->Of(2).back().error, "scores: found -1 of the best ids, expected 3");
}

TEST(EngineTest, RowsThatAreNeededOrHaveTooManyEditsAreNotDrawnFrom) {
  std::vector<Request> requests;
  for (uint64_t id = 1; id <= 3; ++id) requests.push_back(MakeRequest(id, 5, {.temperature = 0.5, .seed = id}));
  requests[0].logprobs = kScoresMax + 1;
  requests[1].logits = LogitsWanted::kLast;
  for (int32_t id = 0; id <= kEditsMax; ++id) requests[2].sampling.logit_bias.emplace_back(id, 1.0f);
  DrawingRunner runner;
  std::unique_ptr<Collector> seen = RunDrawing(runner, requests);
  EXPECT_EQ(runner.drawn, 0);
  EXPECT_EQ(runner.given, 15);
  for (const Request& request : requests) EXPECT_EQ(seen->Tokens(Value(request.id)), Alone(request)) << "request " << Value(request.id);
  requests[2].sampling.logit_bias.pop_back();
  RunDrawing(runner, {requests[2]});
  EXPECT_EQ(runner.drawn, 5);
}

}  // namespace
}  // namespace drover
