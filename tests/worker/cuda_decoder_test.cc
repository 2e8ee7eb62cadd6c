// Steps of decoding that are recorded and replayed: the same logits as the CPU's, whatever the number of sequences, step after step;
// and the same tokens, whatever the number of edits.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <span>

#include "tests/support/small_spec.h"
#include "tests/worker/on_cuda.h"
#include "worker/weights/random.h"

namespace drover {
namespace {

constexpr DecoderSettings kSettings{.max_step_tokens = 32, .max_sequences = 12, .kv_blocks = 140, .block_tokens = 4};

std::unique_ptr<ThreadGroup> MakeGroup(const ThreadGroup::Computes& computes) {
  ModelSpec spec = SmallSpec();
  spec.max_positions = 1024;
  const auto make_weights = [&](const RankCut& cut, Ops& ops) { return RandomRankWeights(spec, cut, 7, DType::kBF16, &ops); };
  absl::StatusOr<std::unique_ptr<ThreadGroup>> group = ThreadGroup::Create(spec, {1, 1}, kSettings, make_weights, computes);
  if (absl::IsUnavailable(group.status())) return nullptr;
  EXPECT_TRUE(group.ok()) << group.status();
  return *std::move(group);
}

// The next token of sequences 0 to n - 1, each `position` tokens long.
StepPlan Decode(uint64_t step, int64_t sequences, int64_t position) {
  StepPlan plan{step, {}};
  for (int64_t s = 0; s < sequences; ++s) {
    StepSequence sequence{.id = static_cast<uint64_t>(s + 1), .position = position, .logits = LogitsWanted::kLast};
    sequence.tokens = {static_cast<int32_t>((s * 17 + position * 5) % 97)};
    sequence.blocks.resize(static_cast<size_t>(position / 4 + 1));
    std::iota(sequence.blocks.begin(), sequence.blocks.end(), static_cast<int32_t>(140 / sequences * s));
    plan.sequences.push_back(sequence);
  }
  return plan;
}

// Steps of so many sequences, one after the other, from a position on: on the CPU and on CUDA.
void ExpectTheCpusLogits(std::span<const int64_t> steps, int64_t position) {
  const auto cpu = MakeGroup(ThreadGroup::OnCpu());
  const auto cuda = MakeGroup(OnCuda());
  if (cuda == nullptr) GTEST_SKIP() << "no CUDA device";
  uint64_t step = 0;
  for (const int64_t sequences : steps) {
    const StepPlan plan = Decode(++step, sequences, position++);
    const absl::StatusOr<StepLogits> expected = cpu->Run(plan), found = cuda->Run(plan);
    ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
    ASSERT_EQ(found->rows, sequences);
    ASSERT_EQ(found->values.size(), expected->values.size());
    for (size_t i = 0; i < found->values.size(); ++i)
      ASSERT_NEAR(found->values[i], expected->values[i], 1e-4) << "step " << step << " of " << sequences << ", value " << i;
  }
}

// As many rows again and again, others in between; 5 and 11 are padded.
TEST(CudaDecoder, ReplayedStepsGiveTheCpusLogits) {
  constexpr int64_t kSteps[] = {11, 11, 11, 11, 5, 1, 5, 5, 11, 1, 1, 5, 12, 12, 12};
  ExpectTheCpusLogits(kSteps, 0);
}

// What was recorded for 512 keys, in two parts, does not serve more.
TEST(CudaDecoder, SequencesOutgrowWhatWasRecorded) {
  constexpr int64_t kSteps[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  ExpectTheCpusLogits(kSteps, 507);
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

// The best token of each row of logits after the plan's edits.
std::vector<int32_t> BestOf(const StepLogits& logits, const StepPlan& plan) {
  std::vector<int32_t> ids;
  std::vector<DrawCandidate> candidates;
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    const auto row = std::span(logits.values).subspan(s * static_cast<size_t>(logits.vocab), static_cast<size_t>(logits.vocab));
    std::vector<float> edited(row.begin(), row.end());
    EditLogits(plan.sequences[s].draw->edits, edited);
    ids.push_back(DrawToken(edited, plan.sequences[s].draw->rule, candidates));
  }
  return ids;
}

// From step to step, and from row to row, none to as many as can be: what a recorded step reads lies where it lay.
TEST(CudaDecoder, EditsOfAnyNumberGoWithReplayedSteps) {
  const auto cpu = MakeGroup(ThreadGroup::OnCpu());
  const auto cuda = MakeGroup(OnCuda());
  if (cuda == nullptr) GTEST_SKIP() << "no CUDA device";
  constexpr int64_t kMost[] = {0, 5, 40, 3, kEditsMax, 0, 97, 1};
  for (uint64_t step = 1; step <= std::size(kMost); ++step) {
    StepPlan plan = Decode(step, 12, static_cast<int64_t>(step - 1));
    const std::vector<LogitEdit> edits = Edits(kMost[step - 1], step);
    for (StepSequence& sequence : plan.sequences) {
      const bool all = sequence.id % 2 == 0 || kMost[step - 1] == kEditsMax;
      sequence.draw = {.rule = {.temperature = 0}, .edits = std::span(edits).first(all ? edits.size() : edits.size() / sequence.id)};
    }
    const absl::StatusOr<StepLogits> expected = cpu->Run(plan), found = cuda->Run(plan);
    ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
    EXPECT_TRUE(found->values.empty());
    EXPECT_EQ(found->drawn, BestOf(*expected, plan)) << "step " << step;
  }
}

}  // namespace
}  // namespace drover
