// Steps of decoding on a small model: the same logits as the CPU's, whatever ranks compute with and meet by.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <span>

#include "tests/support/small_spec.h"
#include "tests/support/thread_group.h"
#include "worker/weights/random.h"

namespace drover {

struct DecodingSteps {
  Grid grid{1, 1};
  DecoderSettings settings{.max_step_tokens = 32, .max_sequences = 12, .kv_blocks = 140, .block_tokens = 4};

  absl::StatusOr<std::unique_ptr<ThreadGroup>> MakeGroup(const Grid& ranks, const ThreadGroup::Computes& computes) const {
    ModelSpec spec = SmallSpec();
    spec.max_positions = 1024;
    const auto make_weights = [&](const RankCut& cut, Ops& ops) { return RandomRankWeights(spec, cut, 7, DType::kBF16, &ops); };
    return ThreadGroup::Create(spec, ranks, settings, make_weights, computes);
  }

  // The next token of sequences 0 to n - 1, each `position` tokens long.
  StepPlan Decode(uint64_t step, int64_t sequences, int64_t position) const {
    StepPlan plan{step, {}};
    for (int64_t s = 0; s < sequences; ++s) {
      StepSequence sequence{.id = static_cast<uint64_t>(s + 1), .position = position, .logits = LogitsWanted::kLast};
      sequence.tokens = {static_cast<int32_t>((s * 17 + position * 5) % 97)};
      sequence.blocks.resize(static_cast<size_t>(position / 4 + 1));
      std::iota(sequence.blocks.begin(), sequence.blocks.end(), static_cast<int32_t>(settings.kv_blocks / sequences * s));
      plan.sequences.push_back(sequence);
    }
    return plan;
  }

  // Steps of so many sequences, one after the other, from a position on: on one rank of the CPU and on the grid's ranks. `after` each.
  void ExpectTheCpusLogits(const ThreadGroup::Computes& computes, std::span<const int64_t> steps, int64_t position,
                           const std::function<void(size_t)>& after = [](size_t) {}) const {
    const auto cpu = MakeGroup({1, 1}, ThreadGroup::OnCpu()), found_by = MakeGroup(grid, computes);
    if (absl::IsUnavailable(found_by.status())) GTEST_SKIP() << "no CUDA device";
    ASSERT_TRUE(cpu.ok() && found_by.ok()) << found_by.status();
    for (size_t step = 0; step < steps.size(); ++step) {
      const StepPlan plan = Decode(step + 1, steps[step], position++);
      int calls = 0;
      const absl::StatusOr<StepLogits> expected = (*cpu)->RunWhile(plan, [&calls] { calls += 10; });
      const absl::StatusOr<StepLogits> found = (*found_by)->RunWhile(plan, [&calls] { ++calls; });
      ASSERT_TRUE(expected.ok() && found.ok()) << found.status();
      ASSERT_EQ(calls, 11) << "the host is called back once a step";
      ASSERT_EQ(found->rows, steps[step]);
      ASSERT_EQ(found->values.size(), expected->values.size());
      for (size_t i = 0; i < found->values.size(); ++i)
        ASSERT_NEAR(found->values[i], expected->values[i], 1e-4) << "step " << step << " of " << steps[step] << ", value " << i;
      after(step);
    }
  }
};

}  // namespace drover
