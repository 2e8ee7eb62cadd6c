// Requests with a grammar on the toy model: what is drawn is allowed, complete outputs end, what fails ends alone.
#include "worker/guides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/toy_grammar.h"
#include "tests/worker/toy_runner.h"
#include "worker/engine.h"

namespace drover {
namespace {

using testing::Each;
using testing::SizeIs;

// What the host does with rows that a device has drawn from; the masks are there when the step's logits are.
class DrawingRunner : public ToyRunner {
 public:
  absl::StatusOr<StepLogits> RunWhile(const StepPlan& plan, const Meanwhile& meanwhile) override {
    DROVER_ASSIGN_OR_RETURN(StepLogits logits, Run(plan));
    meanwhile();
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      if (plan.sequences[i].logits == LogitsWanted::kNone) continue;
      EXPECT_TRUE(plan.sequences[i].draw.has_value());
      const auto row = std::span(logits.values).subspan(logits.drawn.size() * kVocab, kVocab);
      logits.drawn.push_back(sampler_.Sample(row, *plan.sequences[i].draw).value_or(kNothingToDraw));
    }
    logits.values.clear();
    return logits;
  }

 private:
  Sampler sampler_;
};

struct Outcome {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kNone;
  std::string error;
};

Request MakeRequest(uint64_t id, int64_t max_tokens) {
  Request request{.id = RequestId{id}, .sampling = {.temperature = id % 2 == 0 ? 0.0 : 1.0, .seed = id}, .max_tokens = max_tokens};
  for (uint64_t i = 0; i < 3 + id % 9; ++i) request.prompt.push_back(static_cast<int32_t>((id * 7 + i) % ToyRunner::kVocab));
  return request;
}

struct Job {
  Request request;
  std::unique_ptr<Grammar> grammar;
};

std::map<uint64_t, Outcome> RunJobs(StepRunner& runner, std::vector<Job> jobs, bool draws, int64_t kv_blocks = 200) {
  std::map<uint64_t, Outcome> outcomes;
  const SchedulerLimits limits{.block_tokens = ToyRunner::kBlockTokens, .kv_blocks = kv_blocks, .max_sequences = 8, .max_model_len = 64};
  Engine engine({.limits = limits, .vocab = ToyRunner::kVocab, .draws = draws}, runner, [&](const std::vector<TokenEvent>& events) {
    for (const TokenEvent& event : events) {
      Outcome& outcome = outcomes[Value(event.id)];
      if (event.token) outcome.tokens.push_back(*event.token);
      outcome.finish = event.finish;
      outcome.error = event.error;
      EXPECT_EQ(event.bad_request, !event.error.empty());
    }
  });
  for (Job& job : jobs) EXPECT_TRUE(engine.Submit(std::move(job.request), std::move(job.grammar)).ok());
  engine.Drain();
  EXPECT_TRUE(engine.RunLoop().ok());
  return outcomes;
}

std::vector<Job> SixJobs() {
  std::vector<Job> jobs;
  for (uint64_t id = 1; id <= 6; ++id) {
    std::unique_ptr<Grammar> grammar;
    if (id % 3 != 0) grammar = std::make_unique<Multiples>(static_cast<int32_t>(id) + 2, 5);
    jobs.push_back({MakeRequest(id, 12), std::move(grammar)});
  }
  return jobs;
}

TEST(Guides, WhatIsSampledIsAllowedAndACompleteOutputEnds) {
  ToyRunner runner;
  for (const auto& [id, outcome] : RunJobs(runner, SixJobs(), false)) {
    const bool guided = id % 3 != 0;
    EXPECT_THAT(outcome.tokens, SizeIs(guided ? 5 : 12));
    EXPECT_EQ(outcome.finish, guided ? FinishReason::kStop : FinishReason::kLength);
    if (!guided) continue;
    EXPECT_THAT(outcome.tokens, Each(testing::ResultOf([step = static_cast<int32_t>(id) + 2](int32_t token) { return token % step; }, 0)));
  }
}

TEST(Guides, ARunnerThatDrawsAndPreemptionChangeNothing) {
  ToyRunner plain, cramped;
  DrawingRunner drawing;
  const std::map<uint64_t, Outcome> expected = RunJobs(plain, SixJobs(), false);
  const std::map<uint64_t, Outcome> drawn = RunJobs(drawing, SixJobs(), true), preempted = RunJobs(cramped, SixJobs(), false, 16);
  ASSERT_EQ(expected.size(), 6u);
  for (const auto& [id, outcome] : expected) {
    EXPECT_EQ(drawn.at(id).tokens, outcome.tokens) << id;
    EXPECT_EQ(preempted.at(id).tokens, outcome.tokens) << id;
  }
}

TEST(Guides, ALimitThatComesWithTheLastTokenIsNoReason) {
  ToyRunner runner;
  std::vector<Job> jobs;
  jobs.push_back({MakeRequest(1, 3), std::make_unique<Multiples>(2, 3)});
  jobs.push_back({MakeRequest(2, 2), std::make_unique<Multiples>(2, 3)});
  const std::map<uint64_t, Outcome> outcomes = RunJobs(runner, std::move(jobs), false);
  EXPECT_EQ(outcomes.at(1).finish, FinishReason::kStop);
  EXPECT_EQ(outcomes.at(2).finish, FinishReason::kLength);
}

TEST(Guides, WhatIsCompleteBeforeATokenEndsWithoutOne) {
  ToyRunner runner;
  DrawingRunner drawing;
  for (StepRunner* one : {static_cast<StepRunner*>(&runner), static_cast<StepRunner*>(&drawing)}) {
    std::vector<Job> jobs;
    jobs.push_back({MakeRequest(1, 9), std::make_unique<Multiples>(100, 0)});
    jobs.back().request.min_tokens = 4;
    jobs.back().request.end_ids = {0};
    const Outcome outcome = RunJobs(*one, std::move(jobs), one == &drawing).at(1);
    EXPECT_EQ(outcome.finish, FinishReason::kStop) << outcome.error;
    EXPECT_THAT(outcome.tokens, SizeIs(0));
  }
}

TEST(Guides, WhatFailsEndsAlone) {
  ToyRunner runner;
  auto broken = std::make_unique<Multiples>(2, 3), nothing = std::make_unique<Multiples>(100, 3);
  broken->fails = ResourceExhausted("the grammar's budget is used up");
  std::vector<Job> jobs;
  jobs.push_back({MakeRequest(1, 5), std::move(broken)});
  jobs.push_back({MakeRequest(2, 5), std::make_unique<Multiples>(2, 5)});
  jobs.push_back({MakeRequest(4, 5), std::move(nothing)});
  jobs.back().request.sampling.logit_bias = {{0, -100.0f}};
  const std::map<uint64_t, Outcome> outcomes = RunJobs(runner, std::move(jobs), false);
  EXPECT_EQ(outcomes.at(1).finish, FinishReason::kError);
  EXPECT_EQ(outcomes.at(1).error, "the grammar's budget is used up");
  EXPECT_THAT(outcomes.at(2).tokens, SizeIs(5));
  EXPECT_THAT(outcomes.at(4).tokens, Each(0));  // allowed alone, whatever its bias
}

}  // namespace
}  // namespace drover
