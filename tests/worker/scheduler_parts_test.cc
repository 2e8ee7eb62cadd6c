// The scheduler with attention parts: where sequences run, whom preemption takes, and that under any load every request ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "common/plan.h"
#include "worker/scheduler.h"

namespace drover {
namespace {

using testing::ElementsAre;

Request MakeRequest(uint64_t id, int64_t prompt, int64_t output) {
  Request request{.id = RequestId{id}, .max_tokens = output};
  for (int64_t i = 0; i < prompt; ++i) request.prompt.push_back(static_cast<int32_t>(i + 1));
  return request;
}

// "1@0[0,3)": sequence, part and positions.
std::vector<std::string> Describe(const StepPlan& plan) {
  std::vector<std::string> text;
  for (const StepSequence& s : plan.sequences)
    text.push_back(Cat(s.id, "@", s.part, "[", s.position, ",", s.position + static_cast<int64_t>(s.tokens.size()), ")"));
  return text;
}

// Those that were given a token, and how they ended.
std::vector<std::pair<uint64_t, FinishReason>> Commit(Scheduler& scheduler, const StepPlan& plan) {
  std::vector<std::pair<uint64_t, FinishReason>> sampled;
  for (const StepSequence& planned : plan.sequences) {
    const bool samples = scheduler.Find(RequestId{planned.id})->samples_after(planned.end());
    const FinishReason finish = scheduler.Commit(planned, samples ? std::optional<int32_t>(100) : std::nullopt);
    if (samples) sampled.emplace_back(planned.id, finish);
  }
  return sampled;
}

std::vector<std::string> RunStep(Scheduler& scheduler) {
  const StepPlan plan = scheduler.Plan();
  Commit(scheduler, plan);
  return Describe(plan);
}

TEST(SchedulerParts, ANewSequenceGoesWhereMostBlocksAreFree) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 10, .max_step_tokens = 40, .max_model_len = 40, .attention_parts = 2});
  for (const auto& [id, prompt] : {std::pair<uint64_t, int64_t>{1, 12}, {2, 3}, {3, 3}, {4, 3}, {5, 3}})
    ASSERT_TRUE(scheduler.Admit(MakeRequest(id, prompt, 9)).ok());
  // 7 and 10 blocks left: 2, 3 and 4 go to part 1; then 7 each, and part 0 has the turn.
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[0,12)", "2@1[0,3)", "3@1[0,3)", "4@1[0,3)", "5@0[0,3)"));
  EXPECT_EQ(scheduler.blocks_used(0), 4);
  EXPECT_EQ(scheduler.blocks_used(1), 3);
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[12,13)", "2@1[3,4)", "3@1[3,4)", "4@1[3,4)", "5@0[3,4)"));
}

TEST(SchedulerParts, RequestsOneAfterTheOtherTakeTurns) {
  Scheduler scheduler({.kv_blocks = 4, .max_model_len = 64, .attention_parts = 3});
  for (uint64_t id = 0; id < 7; ++id) {
    ASSERT_TRUE(scheduler.Admit(MakeRequest(id, 2, 1)).ok());
    EXPECT_THAT(RunStep(scheduler), ElementsAre(Cat(id, "@", id % 3, "[0,2)")));
  }
  EXPECT_EQ(scheduler.blocks_used(), 0);
}

TEST(SchedulerParts, EachPartHasItsShareOfAStep) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 10, .max_step_tokens = 9, .max_model_len = 40, .attention_parts = 2});
  for (const uint64_t id : {1, 2, 3}) ASSERT_TRUE(scheduler.Admit(MakeRequest(id, 7, 2)).ok());
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[0,5)", "2@1[0,4)"));  // 5 a part, 9 in all
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[5,7)", "2@1[4,7)", "3@0[0,3)"));
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[7,8)", "2@1[7,8)", "3@0[3,7)"));
  EXPECT_THAT(RunStep(scheduler), ElementsAre("3@0[7,8)"));
  EXPECT_EQ(scheduler.blocks_used(), 0);
}

// Sequence 1 needs a second block in part 0; sequence 3, in the same part, is the youngest there, though 4 is younger.
TEST(SchedulerParts, PreemptionTakesTheYoungestOfThePartThatLacksBlocks) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 2, .max_step_tokens = 16, .max_model_len = 8, .attention_parts = 2});
  for (const uint64_t id : {1, 2, 3, 4}) ASSERT_TRUE(scheduler.Admit(MakeRequest(id, id % 2 == 1 ? 4 : 1, 3)).ok());
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[0,4)", "2@1[0,1)", "3@0[0,4)", "4@1[0,1)"));
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[4,5)", "2@1[1,2)", "4@1[1,2)"));
  EXPECT_EQ(scheduler.preemptions(), 1);
  EXPECT_THAT(RunStep(scheduler), ElementsAre("1@0[5,6)", "2@1[2,3)", "4@1[2,3)"));
  EXPECT_THAT(RunStep(scheduler), ElementsAre("3@0[0,5)"));  // both parts are free again, and 4 began in part 1
  EXPECT_THAT(RunStep(scheduler), ElementsAre("3@0[5,6)"));
  EXPECT_EQ(scheduler.blocks_used(), 0);
}

TEST(SchedulerParts, OneSequenceFitsIntoAPartNotIntoAll) {
  Scheduler scheduler({.block_tokens = 4, .kv_blocks = 2, .max_model_len = 1000, .attention_parts = 4});
  EXPECT_EQ(Message(scheduler.Admit(MakeRequest(1, 9, 1))), "prompt: found 9 token ids, expected at most 7");
}

// What every plan must obey, whoever is in it.
void CheckPlan(const StepPlan& plan, const SchedulerLimits& limits, std::map<uint64_t, int64_t>& part_of) {
  std::map<int64_t, int64_t> tokens;
  std::set<std::pair<int64_t, int32_t>> blocks;
  for (const StepSequence& s : plan.sequences) {
    ASSERT_TRUE(s.part >= 0 && s.part < limits.attention_parts);
    tokens[s.part] += static_cast<int64_t>(s.tokens.size());
    for (const int32_t block : s.blocks) {
      ASSERT_TRUE(block >= 0 && block < limits.kv_blocks);
      ASSERT_TRUE(blocks.insert({s.part, block}).second) << "two sequences hold block " << block << " of part " << s.part;
    }
    if (s.position > 0) {
      ASSERT_EQ(part_of[s.id], s.part) << "sequence " << s.id << " moved with its cache";
    }
    part_of[s.id] = s.part;
  }
  ASSERT_LE(plan.tokens(), limits.max_step_tokens);
  for (const auto& [part, count] : tokens) ASSERT_LE(count, PartTokens(limits.max_step_tokens, limits.attention_parts)) << part;
}

class AnyLoad : public testing::TestWithParam<int64_t> {};

TEST_P(AnyLoad, EndsEveryRequestOverAllPartsAndLeaksNothing) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto draw = [&](int64_t low, int64_t high) { return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1)); };
  const SchedulerLimits limits{.block_tokens = 4, .kv_blocks = draw(6, 12), .max_step_tokens = draw(GetParam(), 24), .max_sequences = draw(2, 20),
                               .max_model_len = 24, .attention_parts = GetParam()};
  Scheduler scheduler(limits);
  std::map<uint64_t, int64_t> due, part_of, served;
  uint64_t next = 0;
  for (int64_t step = 0; next < 300 || scheduler.running() + scheduler.waiting() > 0; ++step) {
    ASSERT_LT(step, 20'000) << "no end";
    for (int64_t n = draw(0, 3); n > 0 && next < 300; --n, ++next) {
      due[next] = draw(1, 8);
      ASSERT_TRUE(scheduler.Admit(MakeRequest(next, draw(1, 15), due[next])).ok());
    }
    const uint64_t victim = static_cast<uint64_t>(draw(0, 5000));
    if (scheduler.Cancel(RequestId{victim})) due.erase(victim);
    const StepPlan plan = scheduler.Plan();
    if (plan.empty()) continue;
    ASSERT_NO_FATAL_FAILURE(CheckPlan(plan, limits, part_of));
    for (const auto& [id, finish] : Commit(scheduler, plan)) {
      --due[id];
      ++served[part_of[id]];
      if (finish != FinishReason::kNone) {
        ASSERT_EQ(due[id], 0);
        due.erase(id);
      }
    }
  }
  EXPECT_TRUE(due.empty());
  EXPECT_EQ(scheduler.blocks_used(), 0) << "blocks leaked";
  int64_t all = 0;
  for (const auto& [part, tokens] : served) all += tokens;
  for (int64_t part = 0; part < GetParam(); ++part) EXPECT_GE(served[part] * GetParam() * 2, all) << "part " << part << " has less than half its share";
}

INSTANTIATE_TEST_SUITE_P(Parts, AnyLoad, testing::Values(1, 2, 3, 4, 7), testing::PrintToStringParamName());

}  // namespace
}  // namespace drover
