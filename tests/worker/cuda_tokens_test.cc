// Seeded tokens of whole requests: those that the CPU samples, with CUDA under the decoder and tokens drawn on the device, with
// penalties, biases, ids held back and masks, on one rank and on several that meet through it.
#include <gtest/gtest.h>

#include <map>

#include "models/checkpoint/checkpoint.h"
#include "tests/worker/golden_cases.h"
#include "tests/worker/on_cuda.h"
#include "tests/worker/toy_grammar.h"
#include "worker/engine.h"

namespace drover {
namespace {

using Tokens = std::map<RequestId, std::vector<int32_t>>;
constexpr DecoderSettings kSettings{.max_step_tokens = 64, .max_sequences = 8, .kv_blocks = 128, .block_tokens = 8};

std::vector<Request> Requests(int64_t vocab, int64_t tokens) {
  const Sampling kinds[] = {{.temperature = 0}, {.temperature = 0.8, .top_p = 0.9}, {.temperature = 1, .top_k = 5}, {},
                            {.temperature = 0.7, .min_p = 0.05}, {.temperature = 0.9, .repetition_penalty = 1.2},
                            {.temperature = 0, .presence_penalty = 0.5, .frequency_penalty = 0.4},
                            {.temperature = 0.8, .top_p = 0.95, .logit_bias = {{3, 4}, {11, 4.5f}, {12, -100}}}};
  std::vector<Request> requests;
  for (uint64_t i = 0; i < std::size(kinds); ++i) {
    Request request{.id = RequestId{i + 1}, .prompt = {}, .sampling = kinds[i], .max_tokens = tokens};
    request.sampling.seed = 100 + i;
    for (uint64_t t = 0; t < 3 + i; ++t) request.prompt.push_back(static_cast<int32_t>((i * 31 + t * 7 + 5) % static_cast<uint64_t>(vocab)));
    request.logprobs = i % 4 == 3 ? static_cast<int32_t>(i) : -1;
    request.min_tokens = i % 4 == 0 ? tokens : tokens / 2;
    for (int32_t id = static_cast<int32_t>(i); id < vocab && i % 2 == 0; id += 3) request.end_ids.push_back(id);
    requests.push_back(std::move(request));
  }
  return requests;
}

// A group of which no row of logits may come to the host.
class DrawingGroup : public StepRunner {
 public:
  explicit DrawingGroup(ThreadGroup& group) : group_(group) {}
  absl::StatusOr<StepLogits> Run(const StepPlan& plan) override {
    absl::StatusOr<StepLogits> logits = group_.Run(plan);
    EXPECT_TRUE(!logits.ok() || logits->values.empty()) << "step " << plan.step;
    return logits;
  }

 private:
  ThreadGroup& group_;
};

Tokens Generate(StepRunner& group, int64_t vocab, int64_t tokens, bool draws) {
  Tokens found;
  const SchedulerLimits limits{.block_tokens = kSettings.block_tokens, .kv_blocks = kSettings.kv_blocks,
                               .max_step_tokens = kSettings.max_step_tokens, .max_sequences = kSettings.max_sequences, .max_model_len = 256};
  Engine engine({.limits = limits, .vocab = vocab, .draws = draws}, group, [&](std::vector<TokenEvent> events) {
    for (const TokenEvent& event : events) {
      EXPECT_EQ(event.error, "");
      if (!event.token) continue;
      found[event.id].push_back(*event.token);
      const bool scored = Value(event.id) % 4 == 0;
      EXPECT_EQ(event.logprob.has_value(), scored);
      EXPECT_EQ(event.top.size(), scored ? Value(event.id) - 1 : 0);
    }
  });
  for (Request& request : Requests(vocab, tokens)) {
    const auto id = static_cast<int32_t>(Value(request.id));
    std::unique_ptr<Grammar> grammar;
    if (id % 3 == 0) grammar = std::make_unique<Multiples>(id, tokens - 1);
    EXPECT_TRUE(engine.Submit(std::move(request), std::move(grammar)).ok());
  }
  engine.Drain();
  const absl::Status status = engine.RunLoop();
  EXPECT_TRUE(status.ok()) << status;
  return found;
}

TEST(CudaTokens, SeededTokensAreTheCpus) {
  const absl::StatusOr<CudaFacts> device = DescribeCuda(0);
  if (!device.ok()) GTEST_SKIP() << device.status();
  const bool stand_in = device->name == "stand-in";
  const std::string folder = SourceDir() + std::string(stand_in ? "/tests/testdata/golden/mixtral-6" : "/demo/model");
  const int64_t tokens = stand_in ? 6 : 64;
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const int64_t vocab = checkpoint->spec.vocab;
  const auto cpu = ThreadGroup::Load(*checkpoint, {1, 1}, kSettings);
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  const Tokens expected = Generate(**cpu, vocab, tokens, false);
  ASSERT_EQ(expected.size(), 8u);
  EXPECT_TRUE(std::ranges::all_of(expected.at(RequestId{6}), [](int32_t id) { return id % 6 == 0; }));
  for (const int64_t ranks : {1, 2, 4}) {
    const auto group = ThreadGroup::Load(*checkpoint, {ranks, ranks}, kSettings, OnCuda());
    ASSERT_TRUE(group.ok()) << group.status();
    DrawingGroup drawing(**group);
    EXPECT_EQ(Generate(drawing, vocab, tokens, true), expected) << "on " << ranks << " ranks";
  }
}

}  // namespace
}  // namespace drover
