// Continuous load over attention parts: requests of latent attention come and go, blocks run out, and every answer is that of one part.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "common/plan.h"
#include "tests/support/thread_group.h"
#include "tests/worker/golden_cases.h"
#include "worker/scheduler.h"

namespace drover {
namespace {

constexpr int64_t kClients = 16, kRequests = 48, kOutput = 12;

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> margins;  // between the best logit and the next
};

struct Load {
  std::map<uint64_t, Answer> answers;
  int64_t preemptions = 0;
  std::vector<int64_t> tokens;  // run in each part
};

Request MakeRequest(uint64_t id, int64_t vocab) {
  Request request{.id = RequestId{id}, .max_tokens = kOutput};
  for (uint64_t i = 0; i < 3 + id * 7 % 23; ++i)
    request.prompt.push_back(static_cast<int32_t>((id * 37 + i * i * 11 + 5) % static_cast<uint64_t>(vocab)));
  return request;
}

int32_t TakeBest(std::span<const float> row, Answer& answer) {
  const auto best = std::ranges::max_element(row);
  float next = -std::numeric_limits<float>::infinity();
  for (auto it = row.begin(); it != row.end(); ++it)
    if (it != best) next = std::max(next, *it);
  answer.ids.push_back(static_cast<int32_t>(best - row.begin()));
  answer.margins.push_back(*best - next);
  return answer.ids.back();
}

// Sixteen clients, each with a request at a time; blocks for about half of them.
Load RunLoad(const Checkpoint& checkpoint, const Grid& grid) {
  const int64_t parts = grid.attention_parts, blocks = 80 / parts;
  const DecoderSettings settings{.max_step_tokens = 48, .max_sequences = kClients, .kv_blocks = blocks, .block_tokens = 5};
  absl::StatusOr<std::unique_ptr<ThreadGroup>> group = ThreadGroup::Load(checkpoint, grid, settings);
  EXPECT_TRUE(group.ok()) << group.status();
  if (!group.ok()) return {};
  Scheduler scheduler({.block_tokens = 5, .kv_blocks = blocks, .max_step_tokens = 48, .max_sequences = kClients, .max_model_len = 100,
                       .attention_parts = parts});
  Load load{.answers = {}, .preemptions = 0, .tokens = std::vector<int64_t>(static_cast<size_t>(parts))};
  const int64_t vocab = checkpoint.spec.vocab;
  uint64_t next = 0;
  do {
    while (next < kRequests && scheduler.running() + scheduler.waiting() < kClients)
      EXPECT_TRUE(scheduler.Admit(MakeRequest(next++, vocab)).ok());
    const StepPlan plan = scheduler.Plan();
    const absl::StatusOr<StepLogits> logits = (*group)->Run(plan);
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (!logits.ok()) return {};
    std::span<const float> rest(logits->values);
    for (const StepSequence& planned : plan.sequences) {
      load.tokens[static_cast<size_t>(planned.part)] += static_cast<int64_t>(planned.tokens.size());
      const bool samples = scheduler.Find(RequestId{planned.id})->samples_after(planned.end());
      scheduler.Commit(planned, samples ? std::optional(TakeBest(rest.first(static_cast<size_t>(vocab)), load.answers[planned.id])) : std::nullopt);
      if (planned.logits == LogitsWanted::kLast) rest = rest.subspan(static_cast<size_t>(vocab));
    }
  } while (next < kRequests || scheduler.running() + scheduler.waiting() > 0);
  EXPECT_EQ(scheduler.blocks_used(), 0);
  load.preemptions = scheduler.preemptions();
  return load;
}

class PartsLoad : public testing::TestWithParam<const char*> {};

TEST_P(PartsLoad, AnswersAreThoseOfOnePart) {
  const std::string folder = GoldenFolder(GetParam());
  if (folder.empty()) GTEST_SKIP() << "golden case " << GetParam() << " is not here (shared corpus)";
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(GoldenModel(folder));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const Load one = RunLoad(*checkpoint, {2, 2});
  ASSERT_EQ(one.answers.size(), static_cast<size_t>(kRequests));
  for (const Grid& grid : {Grid{2, 2, 1, 2}, Grid{4, 2, 1, 2}, Grid{4, 4, 1, 4}}) {
    const Load cut = RunLoad(*checkpoint, grid);
    ASSERT_EQ(cut.answers.size(), one.answers.size());
    EXPECT_GT(cut.preemptions, 0) << "blocks did not run out";
    for (const int64_t tokens : cut.tokens) EXPECT_GT(tokens, 300) << "a part was idle";
    for (const auto& [id, answer] : one.answers) {
      const std::vector<int32_t>& found = cut.answers.at(id).ids;
      const auto difference = std::ranges::mismatch(answer.ids, found).in1 - answer.ids.begin();
      if (difference == kOutput) continue;
      EXPECT_LT(answer.margins[static_cast<size_t>(difference)], 1e-4) << "request " << id << " at " << difference;  // else: a tie
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PartsLoad, testing::Values("deepseek-v3-half", "deepseek-v3", "llama31-gqa"), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace drover
