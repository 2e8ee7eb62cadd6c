// SmolLM2-135M-Instruct against shared/golden/smollm2: greedy ids over the robust steps, and every token's log-probability.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>

#include "models/checkpoint/checkpoint.h"
#include "tests/support/reference_run.h"
#include "tests/support/thread_group.h"

namespace drover {

inline constexpr const char* kSmolLm2 = DROVER_SOURCE_DIR "/build/models/SmolLM2-135M-Instruct.Q4_1.gguf";
inline constexpr const char* kSmolLm2Reference = DROVER_SHARED_DIR "/golden/smollm2/reference.json";
inline constexpr double kLogprobErrorMax = 3e-3, kLogprobErrorMean = 3e-4;

// Runs the reference's prompts called `names` (all when empty) on `ranks` thread ranks.
inline void ExpectSmolLm2Parity(int64_t ranks, const std::vector<std::string>& names) {
  if (!std::filesystem::exists(kSmolLm2)) GTEST_SKIP() << "SmolLM2 is not here: scripts/quickstart --model smollm2 fetches it to " << kSmolLm2;
  if (!std::filesystem::exists(kSmolLm2Reference)) GTEST_SKIP() << "smollm2/reference.json is not here (shared corpus)";
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(kSmolLm2);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  absl::StatusOr<Reference> reference = ReadReference(kSmolLm2Reference);
  ASSERT_TRUE(reference.ok()) << reference.status();
  std::erase_if(reference->prompts, [&](const ReferencePrompt& prompt) {
    return !names.empty() && std::ranges::find(names, prompt.name) == names.end();
  });
  ASSERT_EQ(reference->prompts.size(), names.empty() ? 24u : names.size());

  const RunShape shape{.kv_blocks = 768, .block_tokens = 7, .step_tokens = 320, .key_lengths = {}};
  const DecoderSettings settings{.max_step_tokens = 960, .max_sequences = 24, .kv_blocks = shape.kv_blocks, .block_tokens = shape.block_tokens};
  absl::StatusOr<std::unique_ptr<ThreadGroup>> group = ThreadGroup::Load(*checkpoint, {ranks, ranks}, settings);
  ASSERT_TRUE(group.ok()) << group.status();
  const absl::StatusOr<std::vector<PromptResult>> results = RunReference(**group, *reference, shape);
  ASSERT_TRUE(results.ok()) << results.status();
  for (const PromptResult& result : *results) {
    const std::vector<double>& errors = result.logprob_errors;
    const double max = *std::ranges::max_element(errors);
    const double mean = std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size());
    EXPECT_LE(max, kLogprobErrorMax) << result.name;
    EXPECT_LE(mean, kLogprobErrorMean) << result.name;
    EXPECT_EQ(result.first_difference, -1) << result.name << ": a robust greedy id differs";
    std::printf("%s on %d: log-probability error max %.1e mean %.1e, %zu greedy ids\n", result.name.c_str(), static_cast<int>(ranks), max,
                mean, result.greedy_ids.size());
  }
}

}  // namespace drover
