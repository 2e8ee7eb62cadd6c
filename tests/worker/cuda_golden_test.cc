// The golden cases with the CUDA back end under the decoder, on one rank and on several that share a device.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "models/checkpoint/checkpoint.h"
#include "tests/support/reference_run.h"
#include "tests/worker/golden_cases.h"
#include "tests/worker/on_cuda.h"

namespace drover {
namespace {

constexpr double kTolerance = 1e-3;      // of any logit
constexpr double kBf16Tolerance = 1e-1;  // as the corpus's README says
// Of a routed model's clear rows: where a router's choice is close, rounding takes another expert. The reference library is misled as
// often when it computes in bf16: in 1 of mixtral's 143 clear rows, 3 of mixtral-6's 139, 2 of qwen3-moe-mixed's 127, 5 of deepseek-v3's 127.
constexpr double kMisledShare = 0.05;

struct CudaCase {
  std::string name;
  Grid grid;
};

std::string ParamName(const CudaCase& param) {
  std::string name = param.name;
  std::ranges::replace_if(name, [](char c) { return c == '-' || c == '.'; }, '_');
  const Grid& grid = param.grid;
  return name + Cat("_on_", grid.ranks, "_experts_in_", grid.expert_parts, "_stages_", grid.stages, "_attention_in_", grid.attention_parts);
}

std::vector<CudaCase> AllCases() {
  std::vector<CudaCase> cases;
  for (const std::string& name : AllGoldenCases()) {
    for (const int64_t ranks : {1, 2, 4}) cases.push_back({name, {ranks, ranks}});
    if (std::ranges::find(kPipelinedCases, name) != std::end(kPipelinedCases)) cases.push_back({name, {4, 2, 2}});
    if (std::ranges::find(kDataParallelCases, name) != std::end(kDataParallelCases)) cases.push_back({name, {2, 1, 1, 2}});
  }
  return cases;
}

struct CaseRun {
  std::vector<PromptResult> prompts;
  bool routed = false;
};

// What came of a case, or nothing where the case or a device is not here.
absl::StatusOr<std::optional<CaseRun>> RunCase(const CudaCase& param, RunShape shape, DecoderSettings settings, CudaCompute compute) {
  const std::string folder = GoldenFolder(param.name);
  if (folder.empty() || !DescribeCuda(0).ok()) return std::nullopt;
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(GoldenModel(folder)));
  DROVER_ASSIGN_OR_RETURN(const Reference reference, ReadReference(folder + "/reference.safetensors"));
  shape.kv_blocks = settings.kv_blocks = 64;
  shape.block_tokens = settings.block_tokens = 5;
  shape.step_tokens = 29;
  shape.key_lengths = KeyLengthsOf(checkpoint.spec);
  shape.attention_parts = param.grid.attention_parts;
  settings.max_step_tokens = 48;
  settings.max_sequences = 4;
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadGroup> group, ThreadGroup::Load(checkpoint, param.grid, settings, OnCuda(compute)));
  DROVER_ASSIGN_OR_RETURN(std::vector<PromptResult> results, RunReference(*group, reference, shape));
  std::printf("%s: largest logit error %.2e\n", ParamName(param).c_str(), WorstLogitError(results));
  return CaseRun{std::move(results), std::ranges::any_of(checkpoint.spec.kinds, [](const LayerKind& kind) { return kind.ffn.experts.has_value(); })};
}

class CudaGolden : public testing::TestWithParam<CudaCase> {};

TEST_P(CudaGolden, LogitsAndGreedyIdsAreTheReferences) {
  const auto run = RunCase(GetParam(), {}, {}, CudaCompute::kF32);
  ASSERT_TRUE(run.ok()) << run.status();
  if (!*run) GTEST_SKIP() << "no device, or golden case " << GetParam().name << " is not here (shared corpus)";
  for (const PromptResult& result : (*run)->prompts) {
    EXPECT_LE(result.logit_error, kTolerance) << result.name;
    EXPECT_EQ(result.first_difference, -1) << result.name << ": greedy ids differ";
  }
}

// Products and cache in bf16: the reference's tokens are fed, and where its best leads clearly it must be ours.
TEST_P(CudaGolden, InBf16ClearTokensAreTheReferences) {
  const auto run = RunCase(GetParam(), {.forced_margin = 2 * kBf16Tolerance}, {.kv_type = DType::kBF16}, CudaCompute::kBF16);
  ASSERT_TRUE(run.ok()) << run.status();
  if (!*run) GTEST_SKIP() << "no device, or golden case " << GetParam().name << " is not here (shared corpus)";
  int64_t clear = 0, misled = 0;
  for (const PromptResult& result : (*run)->prompts) {
    misled += result.misled_rows;
    clear += result.clear_rows;
  }
  EXPECT_LE(misled, (*run)->routed ? static_cast<int64_t>(kMisledShare * static_cast<double>(clear)) : 0) << "of " << clear;
  EXPECT_GT(clear, 0) << "the case says nothing";
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGolden, testing::ValuesIn(AllCases()), [](const auto& test) { return ParamName(test.param); });

}  // namespace
}  // namespace drover
