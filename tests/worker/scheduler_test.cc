// Scheduler stories: requests in, printed steps out. Sampled tokens count up from 100, so that every one is known.
#include "worker/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover {
namespace {

using testing::ElementsAre;

struct Job {
  int64_t prompt = 1, left = 1;
  int64_t at_step = 0;  // admitted before this step
  LogitsWanted logits = LogitsWanted::kNone;
  bool prompt_logprobs = false;
};

struct TraceCase {
  std::string name;
  std::vector<Job> jobs;  // ids 1, 2, ...
  std::vector<std::string> steps;
  SchedulerLimits limits = {.block_tokens = 4, .kv_blocks = 100, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 64};
  int64_t preemptions = 0;
};

void PrintTo(const TraceCase& c, std::ostream* out) { *out << c.name; }

Request MakeRequest(uint64_t id, const Job& job) {
  Request request{.id = RequestId{id}, .max_tokens = job.left, .prompt_logprobs = job.prompt_logprobs, .logits = job.logits};
  for (int64_t i = 0; i < job.prompt; ++i) request.prompt.push_back(static_cast<int32_t>(i + 1));
  return request;
}

// Samples 100 + output position wherever a token is due. How each sequence ended.
std::vector<FinishReason> Commit(Scheduler& scheduler, const StepPlan& plan) {
  std::vector<FinishReason> ends;
  for (const StepSequence& planned : plan.sequences) {
    const Sequence& sequence = *scheduler.Find(RequestId{planned.id});
    const auto token = static_cast<int32_t>(100 + sequence.output_tokens());
    ends.push_back(scheduler.Commit(planned, sequence.samples_after(planned.end()) ? std::optional(token) : std::nullopt));
  }
  return ends;
}

class SchedulerTrace : public testing::TestWithParam<TraceCase> {};

TEST_P(SchedulerTrace, RunsAsTold) {
  const TraceCase& story = GetParam();
  Scheduler scheduler(story.limits);
  std::vector<std::string> steps;
  for (int64_t step = 0; step < 50; ++step) {
    for (size_t i = 0; i < story.jobs.size(); ++i) {
      if (story.jobs[i].at_step == step) {
        ASSERT_TRUE(scheduler.Admit(MakeRequest(i + 1, story.jobs[i])).ok());
      }
    }
    const StepPlan plan = scheduler.Plan();
    if (plan.empty()) break;
    ASSERT_LE(plan.tokens(), story.limits.max_step_tokens);
    for (const StepSequence& planned : plan.sequences)
      ASSERT_EQ(static_cast<int64_t>(planned.blocks.size()),
                (planned.position + static_cast<int64_t>(planned.tokens.size()) + story.limits.block_tokens - 1) / story.limits.block_tokens);
    steps.push_back(ToString(plan));
    Commit(scheduler, plan);
  }
  EXPECT_EQ(steps, story.steps);
  EXPECT_EQ(scheduler.blocks_used(), 0) << "blocks leaked";
  EXPECT_EQ(scheduler.running() + scheduler.waiting(), 0);
  EXPECT_EQ(scheduler.preemptions(), story.preemptions);
}

INSTANTIATE_TEST_SUITE_P(
    Stretching, SchedulerTrace,
    testing::Values(
        TraceCase{"KeysThatStretchOnceAreComputedAgainOnce",
                  {{.prompt = 3, .left = 5}},
                  {"1[0,3)", "1[3,4)", "1[0,5)", "1[5,6)", "1[6,7)"},
                  {.block_tokens = 4, .kv_blocks = 100, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 64,
                   .key_lengths = {.limit = 4}},
                  1},
        TraceCase{"ASequenceRunAgainTakesTheYoungestsBlocks",
                  {{.prompt = 3, .left = 3}, {.prompt = 2, .left = 3}},
                  {"1[0,3) 2[0,2)", "1[3,4) 2[2,3)", "1[0,5)", "2[0,4)"},
                  {.block_tokens = 4, .kv_blocks = 2, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 8,
                   .key_lengths = {.limit = 4}},
                  2},
        TraceCase{"ASequenceRunAgainWaitsForBlocks",
                  {{.prompt = 3, .left = 4}, {.prompt = 4, .left = 2}},
                  {"1[0,3) 2[0,4)", "1[3,4)", "1[0,5)", "1[5,6)", "2[0,5)"},
                  {.block_tokens = 4, .kv_blocks = 2, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 8,
                   .key_lengths = {.limit = 4}},
                  3},
        TraceCase{"KeysThatStretchWithEveryTokenAreComputedEachTime",
                  {{.prompt = 7, .left = 3}, {.prompt = 2, .left = 4}},
                  {"1[0,7) 2[0,1)", "1[0,8)", "1[0,8)", "1[8,9) 2[1,2)", "2[2,3)", "2[3,4)", "2[4,5)"},
                  {.block_tokens = 4, .kv_blocks = 100, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 64,
                   .key_lengths = {.limit = 5, .every = true}},
                  2}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    All, SchedulerTrace,
    testing::Values(
        TraceCase{"OneTokenNeedsOneStep", {{.prompt = 3, .left = 1}}, {"1[0,3)"}},
        TraceCase{"LongPromptIsCutToTheBudget", {{.prompt = 10, .left = 2}}, {"1[0,8)", "1[8,10)", "1[10,11)"}},
        TraceCase{"DecodeRunsBesideTheNextPrompt",
                  {{.prompt = 3, .left = 3}, {.prompt = 9, .left = 2}},
                  {"1[0,3) 2[0,5)", "1[3,4) 2[5,9)", "1[4,5) 2[9,10)"}},
        TraceCase{"ALateShortPromptJoinsTheDecodes",
                  {{.prompt = 2, .left = 4}, {.prompt = 2, .left = 1, .at_step = 2}},
                  {"1[0,2)", "1[2,3)", "1[3,4) 2[0,2)", "1[4,5)"}},
        TraceCase{"MoreRequestsThanPlacesWaitInOrder",
                  {{.left = 2}, {.left = 2}, {.left = 1}},
                  {"1[0,1) 2[0,1)", "1[1,2) 2[1,2)", "3[0,1)"},
                  {.block_tokens = 4, .kv_blocks = 9, .max_step_tokens = 8, .max_sequences = 2, .max_model_len = 9}},
        TraceCase{"OldPromptIsFinishedBeforeAYoungOneStarts",
                  {{.prompt = 12, .left = 1}, {.prompt = 4, .left = 1}},
                  {"1[0,8)", "1[8,12) 2[0,4)"}},
        TraceCase{"APromptWithoutBlocksWaitsForItsTurn",
                  {{.prompt = 8, .left = 1}, {.prompt = 5, .left = 1}, {.prompt = 1, .left = 1}},
                  {"1[0,8)", "2[0,5) 3[0,1)"},
                  {.block_tokens = 4, .kv_blocks = 3, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 12}},
        TraceCase{"TheYoungestLosesItsBlocksAndIsRunAgain",
                  {{.prompt = 4, .left = 3}, {.prompt = 4, .left = 3}},
                  {"1[0,4) 2[0,4)", "1[4,5)", "1[5,6)", "2[0,5)", "2[5,6)"},
                  {.block_tokens = 4, .kv_blocks = 3, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 12},
                  1},
        TraceCase{"TheContextEndsTheOutput",
                  {{.prompt = 3, .left = 10}},
                  {"1[0,3)", "1[3,4)", "1[4,5)"},
                  {.block_tokens = 4, .kv_blocks = 9, .max_step_tokens = 8, .max_sequences = 2, .max_model_len = 6}},
        TraceCase{"ScoringTakesRowsInBoundedChunks",
                  {{.prompt = 7, .left = 0, .prompt_logprobs = true}, {.prompt = 2, .left = 1}},
                  {"1[0,3) 2[0,2)", "1[3,6)", "1[6,7)"},
                  {.block_tokens = 4, .kv_blocks = 9, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 16,
                   .max_score_rows = 3}},
        TraceCase{"TwoScoringPromptsShareTheRows",
                  {{.prompt = 4, .left = 0, .logits = LogitsWanted::kAll}, {.prompt = 2, .left = 0, .prompt_logprobs = true}},
                  {"1[0,3)", "1[3,4) 2[0,2)"},
                  {.block_tokens = 4, .kv_blocks = 9, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 16,
                   .max_score_rows = 3}},
        TraceCase{"MoreSequencesThanStepTokensIsNoDeadlock",
                  {{.left = 2}, {.left = 2}, {.left = 1}},
                  {"1[0,1) 2[0,1)", "1[1,2) 2[1,2)", "3[0,1)"},
                  {.block_tokens = 4, .kv_blocks = 9, .max_step_tokens = 2, .max_sequences = 9, .max_model_len = 9}}),
    [](const auto& story) { return story.param.name; });

TEST(SchedulerTest, ASequenceAloneRunsToTheEndOfTheBlocks) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 2, .max_step_tokens = 8, .max_sequences = 4, .max_model_len = 1000});
  ASSERT_TRUE(scheduler.Admit(MakeRequest(1, {.prompt = 2, .left = 1000})).ok());
  FinishReason finish = FinishReason::kNone;
  int64_t tokens = 0;
  while (finish == FinishReason::kNone) {
    const StepPlan plan = scheduler.Plan();
    ASSERT_FALSE(plan.empty());
    ASSERT_EQ(plan.sequences.size(), 1u);
    ++tokens;
    finish = Commit(scheduler, plan)[0];
  }
  EXPECT_EQ(finish, FinishReason::kLength);
  EXPECT_EQ(tokens, 6);  // 8 places, 2 of the prompt
  EXPECT_EQ(scheduler.preemptions(), 0);
}

TEST(SchedulerTest, AnEndIdStopsOnceTheMinimumIsReached) {
  Scheduler scheduler({.kv_blocks = 4, .max_model_len = 64});
  Request request = MakeRequest(1, {.prompt = 2, .left = 9});
  request.end_ids = {100, 102};
  request.min_tokens = 1;
  ASSERT_TRUE(scheduler.Admit(request).ok());
  std::vector<FinishReason> finishes;
  for (StepPlan plan = scheduler.Plan(); !plan.empty(); plan = scheduler.Plan())
    finishes.push_back(Commit(scheduler, plan).at(0));
  EXPECT_THAT(finishes, ElementsAre(FinishReason::kNone, FinishReason::kNone, FinishReason::kStop));
}

TEST(SchedulerTest, CancelFreesBlocksOfRunningAndWaiting) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 2, .max_model_len = 8});
  ASSERT_TRUE(scheduler.Admit(MakeRequest(1, {.prompt = 7, .left = 1})).ok());
  ASSERT_TRUE(scheduler.Admit(MakeRequest(2, {.prompt = 7, .left = 1})).ok());
  const StepPlan plan = scheduler.Plan();
  EXPECT_EQ(ToString(plan), "1[0,7)");
  EXPECT_TRUE(scheduler.Cancel(RequestId{1}));
  EXPECT_FALSE(scheduler.Cancel(RequestId{1}));
  EXPECT_EQ(scheduler.blocks_used(), 0);
  EXPECT_TRUE(scheduler.Cancel(RequestId{2}));
  EXPECT_TRUE(scheduler.Plan().empty());
}

TEST(SchedulerTest, PlannedBlocksCoverThePlannedPositionsOnly) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 8, .max_step_tokens = 6, .max_model_len = 32});
  ASSERT_TRUE(scheduler.Admit(MakeRequest(1, {.prompt = 9, .left = 1})).ok());
  const StepPlan first = scheduler.Plan();
  EXPECT_THAT(first.sequences[0].blocks, ElementsAre(0, 1));
  EXPECT_EQ(first.sequences[0].logits, LogitsWanted::kNone);
  Commit(scheduler, first);
  const StepPlan second = scheduler.Plan();
  EXPECT_THAT(second.sequences[0].blocks, ElementsAre(0, 1, 2));
  EXPECT_THAT(second.sequences[0].tokens, ElementsAre(7, 8, 9));
  EXPECT_EQ(second.sequences[0].logits, LogitsWanted::kLast);
}

TEST(SchedulerTest, APreemptedPromptIsScoredOnce) {
  // Sequence 2 scores its prompt one row a step; sequence 1 takes its block in between.
  Scheduler scheduler({.block_tokens = 2, .kv_blocks = 3, .max_step_tokens = 8, .max_model_len = 6, .max_score_rows = 1});
  ASSERT_TRUE(scheduler.Admit(MakeRequest(1, {.prompt = 2, .left = 2})).ok());
  ASSERT_TRUE(scheduler.Admit(MakeRequest(2, {.prompt = 4, .left = 0, .prompt_logprobs = true})).ok());
  std::vector<std::string> steps;
  int64_t rows = 0;
  for (StepPlan plan = scheduler.Plan(); !plan.empty(); plan = scheduler.Plan()) {
    steps.push_back(ToString(plan));
    for (const StepSequence& s : plan.sequences)
      if (s.logits == LogitsWanted::kAll) rows += static_cast<int64_t>(s.tokens.size());
    Commit(scheduler, plan);
  }
  EXPECT_EQ(scheduler.preemptions(), 1);
  EXPECT_EQ(rows, 4);
  EXPECT_THAT(steps, ElementsAre("1[0,2) 2[0,1)", "1[2,3)", "2[0,1)", "2[1,2)", "2[2,3)", "2[3,4)"));
}

struct RefusalCase {
  std::string name;
  Job job;
  absl::StatusCode code;
  std::string message;
};

TEST(SchedulerTest, RefusesWhatCanNeverRun) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 100, .max_model_len = 8, .max_requests = 2});
  const RefusalCase cases[] = {
      {"empty", {.prompt = 0}, absl::StatusCode::kInvalidArgument, "prompt: found no token ids, expected at least 1"},
      {"long", {.prompt = 8}, absl::StatusCode::kInvalidArgument, "prompt: found 8 token ids, expected at most 7"},
      {"negative", {.left = -1}, absl::StatusCode::kInvalidArgument, "max_tokens: found -1, expected 0 or more"},
  };
  for (const RefusalCase& c : cases) {
    const absl::Status status = scheduler.Admit(MakeRequest(9, c.job));
    EXPECT_EQ(status.code(), c.code) << c.name;
    EXPECT_EQ(Message(status), c.message) << c.name;
  }
  ASSERT_TRUE(scheduler.Admit(MakeRequest(1, {.prompt = 8, .left = 0})).ok());
  EXPECT_EQ(scheduler.Admit(MakeRequest(1, {})).code(), absl::StatusCode::kAlreadyExists);
  ASSERT_TRUE(scheduler.Admit(MakeRequest(2, {})).ok());
  EXPECT_EQ(scheduler.Admit(MakeRequest(3, {})).code(), absl::StatusCode::kResourceExhausted);
}

TEST(SchedulerTest, LimitsMustBePositive) {
  EXPECT_TRUE(Validate(SchedulerLimits{.kv_blocks = 1, .max_model_len = 1}).ok());
  EXPECT_EQ(Message(Validate(SchedulerLimits{.max_model_len = 1})), "kv_blocks: found 0, expected more than 0");
}

}  // namespace
}  // namespace drover
