// What counts as an error, and what fails a verification: a NaN, a missing row and one wrong greedy id all do.
#include "cli/verify_compare.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace drover {
namespace {

constexpr int64_t kVocab = 3;

// Two prompt ids, two greedy ids; row 0 of the greedy logits repeats the last row of the prompt.
ReferencePrompt WithLogits() {
  return {.name = "p", .ids = {0, 1}, .logits = {1, 2, 3, 4, 5, 6}, .greedy_ids = {2, 1}, .greedy_logits = {4, 5, 6, 0, 9, 0},
          .robust_steps = 2, .token_logprobs = {}};
}
Observation Same() { return {.logits = {1, 2, 3, 4, 5, 6, 0, 9, 0}, .token_logprobs = {}, .greedy_ids = {2, 1}}; }

ReferencePrompt WithLogProbs() {
  return {.name = "p", .ids = {0, 1, 2}, .logits = {}, .greedy_ids = {1, 1, 0}, .greedy_logits = {}, .robust_steps = 2, .token_logprobs = {-1, -2}};
}

Verdict JudgeOne(const ReferencePrompt& reference, const Observation& seen) {
  const auto result = Compare(reference, kVocab, seen);
  return result.ok() ? Judge({*result}, {}) : Verdict{.reason = Message(result.status())};
}

TEST(VerifyCompare, EqualLogitsPass) {
  const auto result = Compare(WithLogits(), kVocab, Same());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->logit_error, 0.0);
  EXPECT_EQ(result->logprobs, 3);
  EXPECT_EQ(result->greedy_steps, 2);
  EXPECT_TRUE(Judge({*result}, {}).passed);
}

TEST(VerifyCompare, TheLargestErrorAnywhereIsReported) {
  for (size_t at : {size_t{0}, size_t{5}, size_t{7}}) {
    Observation seen = Same();
    seen.logits[at] += 0.25f;
    EXPECT_NEAR(*Compare(WithLogits(), kVocab, seen)->logit_error, 0.25, 1e-6);
    EXPECT_EQ(JudgeOne(WithLogits(), seen).reason, "p: logit error 2.5e-01, tolerance 1.0e-04");
  }
}

TEST(VerifyCompare, NotANumberNeverPasses) {
  Observation seen = Same();
  seen.logits[4] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(JudgeOne(WithLogits(), seen).passed);
}

TEST(VerifyCompare, MissingRowsAreAnError) {
  Observation seen = Same();
  seen.logits.resize(6);
  EXPECT_EQ(JudgeOne(WithLogits(), seen).reason, "p: found 2 rows of logits, expected 3");
}

TEST(VerifyCompare, OneWrongOrMissingGreedyIdFails) {
  Observation seen = Same();
  seen.greedy_ids = {2, 0};
  EXPECT_EQ(JudgeOne(WithLogits(), seen).reason, "p: greedy step 1 gave id 0, expected 1");
  seen.greedy_ids = {2};
  EXPECT_EQ(JudgeOne(WithLogits(), seen).reason, "p: greedy step 1 gave id -1, expected 1");
}

TEST(VerifyCompare, OnlyRobustStepsCount) {
  EXPECT_TRUE(JudgeOne(WithLogProbs(), {.logits = {}, .token_logprobs = {-1, -2}, .greedy_ids = {1, 1, 2}}).passed);
}

TEST(VerifyCompare, LogProbabilitiesAreJudgedByMaximumAndMean) {
  EXPECT_FALSE(JudgeOne(WithLogProbs(), {.logits = {}, .token_logprobs = {-1, -2.004}, .greedy_ids = {1, 1}}).passed);
  const Verdict mean = JudgeOne(WithLogProbs(), {.logits = {}, .token_logprobs = {-1.001, -2.001}, .greedy_ids = {1, 1}});
  EXPECT_EQ(mean.reason, "mean log-probability error 1.0e-03, tolerance 3.0e-04");
}

TEST(VerifyCompare, NoPromptIsNoProof) { EXPECT_FALSE(Judge({}, {}).passed); }

TEST(VerifyCompare, LinesFitEightyColumns) {
  PromptResult result{.name = std::string(50, 'n'), .prompt_tokens = 123456, .logit_error = 1e-5, .logprob_error = 2e-6,
                      .greedy_steps = 48, .first_difference = 47};
  EXPECT_LE(ResultLine(result).size(), 80u);
  EXPECT_LE(ResultHeader().size(), 80u);
}

}  // namespace
}  // namespace drover
