// Steps of decoding that are recorded and replayed: the same logits as the CPU's, whatever the number of sequences, step after step;
// and the same tokens, whatever the number of edits and masks.
#include "tests/worker/decoding_steps.h"
#include "tests/worker/on_cuda.h"

namespace drover {
namespace {

// As many rows again and again, others in between; 5 and 11 are padded.
TEST(CudaDecoder, ReplayedStepsGiveTheCpusLogits) {
  constexpr int64_t kSteps[] = {11, 11, 11, 11, 5, 1, 5, 5, 11, 1, 1, 5, 12, 12, 12};
  DecodingSteps().ExpectTheCpusLogits(OnCuda(), kSteps, 0);
}

// What was recorded for 512 keys does not serve more.
TEST(CudaDecoder, SequencesOutgrowWhatWasRecorded) {
  constexpr int64_t kSteps[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  DecodingSteps().ExpectTheCpusLogits(OnCuda(), kSteps, 507);
}

// Two sequences whose parts have room for one at once.
TEST(CudaDecoder, RoundsOfAttentionAreReplayed) {
  constexpr int64_t kSteps[] = {2, 2, 2, 2, 2, 2, 2, 2};
  DecodingSteps steps;
  steps.settings.kv_blocks = 280;
  steps.ExpectTheCpusLogits(OnCuda(CudaCompute::kF32, 1), kSteps, 508);
}

// Edits of so many ids, from a step's number on, some of them beyond the vocabulary.
std::vector<LogitEdit> Edits(int64_t count, uint64_t step) {
  std::vector<LogitEdit> edits;
  for (int64_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(i + static_cast<int64_t>(step));
    edits.push_back({.id = id, .bias = static_cast<float>(id * 7 % 11) / 4, .repetition = 1.25f, .penalty = id % 3 == 0 ? 0.5f : 0});
  }
  return edits;
}

// The best token of each row of logits after the plan's edits and masks.
std::vector<int32_t> BestOf(const StepLogits& logits, const StepPlan& plan) {
  std::vector<int32_t> ids;
  std::vector<DrawCandidate> candidates;
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    const auto row = std::span(logits.values).subspan(s * static_cast<size_t>(logits.vocab), static_cast<size_t>(logits.vocab));
    std::vector<float> edited(row.begin(), row.end());
    EditLogits(plan.sequences[s].draw->edits, edited);
    AllowOnly(plan.sequences[s].draw->allowed, edited);
    ids.push_back(DrawToken(edited, plan.sequences[s].draw->rule, candidates));
  }
  return ids;
}

// From step to step, and from row to row, none to as many as can be: what a recorded step reads lies where it lay.
TEST(CudaDecoder, EditsOfAnyNumberGoWithReplayedSteps) {
  const DecodingSteps steps;
  const auto cpu = steps.MakeGroup({1, 1}, ThreadGroup::OnCpu()), cuda = steps.MakeGroup({1, 1}, OnCuda());
  if (absl::IsUnavailable(cuda.status())) GTEST_SKIP() << "no CUDA device";
  ASSERT_TRUE(cpu.ok() && cuda.ok()) << cuda.status();
  constexpr int64_t kMost[] = {0, 5, 40, 3, kEditsMax, 0, 97, 1};
  for (uint64_t step = 1; step <= std::size(kMost); ++step) {
    StepPlan plan = steps.Decode(step, 12, static_cast<int64_t>(step - 1));
    const std::vector<LogitEdit> edits = Edits(kMost[step - 1], step);
    for (StepSequence& sequence : plan.sequences) {
      const bool all = sequence.id % 2 == 0 || kMost[step - 1] == kEditsMax;
      sequence.draw = {.rule = {.temperature = 0}, .edits = std::span(edits).first(all ? edits.size() : edits.size() / sequence.id)};
    }
    const absl::StatusOr<StepLogits> expected = (*cpu)->Run(plan), found = (*cuda)->Run(plan);
    ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
    EXPECT_TRUE(found->values.empty());
    EXPECT_EQ(found->drawn, BestOf(*expected, plan)) << "step " << step;
  }
}

// A mask for each sequence, of fewer or more words than the vocabulary has; a few are empty.
std::vector<std::vector<uint32_t>> MasksOf(const StepPlan& plan, int64_t vocab) {
  std::vector<std::vector<uint32_t>> masks;
  for (const StepSequence& sequence : plan.sequences) {
    const int64_t more[] = {0, 2, -1, 0};
    masks.emplace_back(static_cast<size_t>((sequence.id + plan.step) % 5 == 0 ? 0 : MaskWords(vocab) + more[sequence.id % 4]));
  }
  return masks;
}

// Of each row in plan order: where it was drawn from, the scores that were asked for; otherwise the row itself.
void ExpectScoresOf(const StepLogits& rows, const StepPlan& plan, const StepLogits& found) {
  const auto vocab = static_cast<size_t>(rows.vocab);
  std::span<const float> rest(rows.values), given(found.values);
  ASSERT_EQ(found.drawn.size(), static_cast<size_t>(rows.rows));
  ASSERT_EQ(found.scores.size(), static_cast<size_t>(rows.rows));
  size_t at = 0;
  for (const StepSequence& sequence : plan.sequences) {
    const size_t count = sequence.logits == LogitsWanted::kAll ? sequence.tokens.size() : 1;
    for (size_t i = 0; i < count; ++i, ++at, rest = rest.subspan(vocab)) {
      const std::span<const float> row = rest.first(vocab);
      const bool drawn = i + 1 == count && sequence.draw;
      const RowScores& scores = found.scores[at];
      ASSERT_EQ(found.drawn[at] != kNotDrawn, drawn);
      ASSERT_EQ(scores.count, drawn ? sequence.draw->scores : -1) << "row " << at << " of step " << plan.step;
      if (!drawn) {
        ASSERT_TRUE(std::ranges::equal(row, given.first(vocab)));
        given = given.subspan(vocab);
      }
      if (scores.count < 0) continue;
      const double sum = LogSumExp(row);
      EXPECT_NEAR(scores.logprob, LogprobOf(row, sum, found.drawn[at]).logprob, 1e-6);
      const std::vector<TokenLogprob> best = TopLogprobs(row, sum, scores.count);
      for (size_t b = 0; b < best.size(); ++b) {
        EXPECT_EQ(scores.best[b].id, best[b].id) << "row " << at << ", place " << b;
        EXPECT_NEAR(scores.best[b].logprob, best[b].logprob, 1e-6);
      }
    }
  }
  EXPECT_TRUE(given.empty());
}

// Steps whose masks are known only while they compute: before, other ids are allowed, and in each step others.
TEST(CudaDecoder, MasksAreReadOnceTheyAreFilled) {
  const DecodingSteps steps;
  for (const int64_t ranks : {1, 2}) {
    const auto cpu = steps.MakeGroup({1, 1}, ThreadGroup::OnCpu()), cuda = steps.MakeGroup({ranks, ranks}, OnCuda());
    if (absl::IsUnavailable(cuda.status())) GTEST_SKIP() << "no CUDA device";
    ASSERT_TRUE(cpu.ok() && cuda.ok()) << cuda.status();
    constexpr int64_t kSequences[] = {9, 9, 5, 9};
    for (uint64_t step = 1; step <= std::size(kSequences); ++step) {
      StepPlan plan = steps.Decode(step, kSequences[step - 1], static_cast<int64_t>(step - 1));
      std::vector<std::vector<uint32_t>> masks = MasksOf(plan, 97);
      const std::vector<LogitEdit> edits = Edits(20, step);
      for (size_t s = 0; s < masks.size(); ++s) plan.sequences[s].draw = {.rule = {.temperature = 0}, .edits = edits, .allowed = masks[s]};
      const auto fill = [&](uint32_t seed) {
        for (size_t s = 0; s < masks.size(); ++s)
          for (uint32_t& word : masks[s]) word = 0x9e3779b9u * static_cast<uint32_t>(seed + s * 31 + step * 7);
      };
      fill(1);
      const absl::StatusOr<StepLogits> found = (*cuda)->RunWhile(plan, [&fill] { fill(2); });
      const absl::StatusOr<StepLogits> expected = (*cpu)->Run(plan);
      ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
      EXPECT_TRUE(found->values.empty());
      EXPECT_EQ(found->drawn, BestOf(*expected, plan)) << "step " << step << " on " << ranks << " ranks";
    }
  }
}

// Rows of whole sequences and last ones, in several pieces, drawn from with edits and masks or not: what is told is of the raw rows, as
// the host computes it from those that a group without draws gives.
TEST(CudaDecoder, ScoresAreTheHosts) {
  const DecodingSteps steps;
  for (const int64_t ranks : {1, 2}) {
    const auto drawing = steps.MakeGroup({ranks, ranks}, OnCuda()), plain = steps.MakeGroup({ranks, ranks}, OnCuda());
    if (absl::IsUnavailable(drawing.status())) GTEST_SKIP() << "no CUDA device";
    ASSERT_TRUE(drawing.ok() && plain.ok()) << drawing.status();
    for (uint64_t step = 1; step <= 3; ++step) {
      StepPlan plan = steps.Decode(step, 4, static_cast<int64_t>(step - 1));
      if (step == 3) {
        StepSequence& whole = plan.sequences[2];
        whole.logits = LogitsWanted::kAll;
        whole.tokens.assign(14, 5);
        whole.blocks = {70, 71, 72, 73};
      }
      const absl::StatusOr<StepLogits> rows = (*plain)->Run(plan);
      const std::vector<LogitEdit> edits = Edits(40, step);
      const std::vector<uint32_t> mask(4, 0x5a5a5a5au);
      for (StepSequence& sequence : plan.sequences) {
        constexpr int32_t kWanted[] = {-1, 0, 3, kScoresMax};
        if (sequence.id == 2) continue;
        sequence.draw = {.rule = {.temperature = 0}, .edits = edits, .allowed = mask, .scores = kWanted[(sequence.id + step) % 4]};
      }
      const absl::StatusOr<StepLogits> found = (*drawing)->Run(plan);
      ASSERT_TRUE(rows.ok() && found.ok()) << found.status();
      ExpectScoresOf(*rows, plan, *found);
    }
  }
}

}  // namespace
}  // namespace drover
