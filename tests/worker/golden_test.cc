// Parity with the reference implementation: every golden case on 1, 2, 3 and 4 ranks, teacher-forced and free-running.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "models/checkpoint/checkpoint.h"
#include "tests/support/reference_run.h"
#include "tests/support/thread_group.h"
#include "tests/worker/golden_cases.h"

namespace drover {
namespace {

struct GoldenParam {
  std::string name;
  Grid grid;
};

std::string ParamName(const GoldenParam& param) {
  std::string name = param.name;
  std::ranges::replace_if(name, [](char c) { return c == '-' || c == '.'; }, '_');
  const Grid& grid = param.grid;
  name += Cat("_on_", grid.ranks);
  if (grid.stages > 1) name += Cat("_in_", grid.stages, "_stages");
  if (grid.attention_parts > 1) name += Cat("_attention_in_", grid.attention_parts);
  return name + (grid.expert_parts == grid.stage_ranks() ? "" : Cat("_experts_in_", grid.expert_parts));
}

// Parts of the names of cases with experts.
constexpr const char* kRoutedNames[] = {"mixtral", "moe", "llama4", "deepseek", "kimi", "mistral4", "large-3", "gpt-oss"};

// Attention parts of one rank and of two; ranks cut over two stages as well; experts in fewer sets than there are parts, and in more.
void AddDataParallel(const std::string& name, std::vector<GoldenParam>& params) {
  if (std::ranges::find(kDataParallelCases, name) == std::end(kDataParallelCases)) return;
  for (const Grid grid : {Grid{2, 2, 1, 2}, Grid{3, 1, 1, 3}, Grid{4, 4, 1, 2}, Grid{4, 2, 1, 4}, Grid{4, 2, 2, 2}})
    params.push_back({name, grid});
}

std::vector<GoldenParam> AllParams() {
  std::vector<GoldenParam> params;
  for (const std::string name : kGoldenCases) {
    for (const int64_t ranks : {1, 2, 3, 4}) params.push_back({name, {ranks, ranks}});
    const bool experts = std::ranges::any_of(kRoutedNames, [&](const char* part) { return name.find(part) != name.npos; });
    if (experts) params.push_back({name, {4, 2}});
    if (experts) params.push_back({name, {3, 1}});
    if (std::ranges::find(kPipelinedCases, name) != std::end(kPipelinedCases)) params.push_back({name, {4, 2, 2}});
    AddDataParallel(name, params);
  }
  for (const std::string& name : OwnGoldenCases()) {
    for (const Grid grid : {Grid{1, 1}, Grid{3, 3}, Grid{4, 2}}) params.push_back({name, grid});
    AddDataParallel(name, params);
  }
  return params;
}

class Golden : public testing::TestWithParam<GoldenParam> {};

TEST_P(Golden, LogitsAndGreedyIdsAreTheReferences) {
  const std::string folder = GoldenFolder(GetParam().name);
  if (folder.empty()) GTEST_SKIP() << "golden case " << GetParam().name << " is not here (shared corpus)";
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(GoldenModel(folder));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const absl::StatusOr<Reference> reference = ReadReference(folder + "/reference.safetensors");
  ASSERT_TRUE(reference.ok()) << reference.status();
  ASSERT_EQ(reference->vocab, checkpoint->spec.vocab);

  const RunShape shape{.kv_blocks = 64, .block_tokens = 5, .step_tokens = 29, .key_lengths = KeyLengthsOf(checkpoint->spec),
                       .attention_parts = GetParam().grid.attention_parts};
  const DecoderSettings settings{.max_step_tokens = 48, .max_sequences = 4, .kv_blocks = shape.kv_blocks, .block_tokens = shape.block_tokens};
  absl::StatusOr<std::unique_ptr<ThreadGroup>> group = ThreadGroup::Load(*checkpoint, GetParam().grid, settings);
  ASSERT_TRUE(group.ok()) << group.status();
  const absl::StatusOr<std::vector<PromptResult>> results = RunReference(**group, *reference, shape);
  ASSERT_TRUE(results.ok()) << results.status();
  for (const PromptResult& result : *results) {
    EXPECT_LE(result.logit_error, kGoldenTolerance) << result.name;
    EXPECT_EQ(result.first_difference, -1) << result.name << ": greedy ids differ";
  }
  std::printf("%s: largest logit error %.2e\n", ParamName(GetParam()).c_str(), WorstLogitError(*results));
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(AllParams()), [](const auto& test) { return ParamName(test.param); });

}  // namespace
}  // namespace drover
