// What a layer of decoding asks of a GPU, over the stand-in, which counts: kernels, copies and fills, each of which costs its start.
#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>

#include "tests/kernels/cuda_on_host/faults.h"
#include "tests/worker/on_cuda.h"
#include "worker/weights/random.h"

namespace drover {
namespace {

constexpr DecoderSettings kSettings{.max_step_tokens = 32, .max_sequences = 4, .kv_blocks = 152, .block_tokens = 16};

LayerKind LikeLlama() {
  LayerKind kind;
  kind.attention = {.heads = 4, .kv_heads = 2, .head_dim = 16, .rope = Rope{.dims = 16}, .scale = 0.25};
  kind.ffn.hidden = 96;
  return kind;
}
LayerKind LikeQwenMoe() {
  LayerKind kind = LikeLlama();
  kind.attention.qk_norm = QkNorm::kEachHead;
  kind.ffn = {.experts = Experts{.count = 8, .active = 2, .hidden = 32}};
  return kind;
}
LayerKind LikeDeepSeek() {
  LayerKind kind = LikeQwenMoe();
  kind.attention = {.heads = 4, .kv_heads = 1, .head_dim = 16, .rope = Rope{.pairing = RopePairing::kInterleaved, .dims = 4}, .scale = 0.25};
  kind.attention.latent = LatentKv{.q_rank = 64, .kv_rank = 32, .nope_dim = 12, .value_dim = 32};
  kind.ffn.experts->shared_hidden = 32;
  kind.ffn.experts->router = {.score = RouterScore::kSigmoid, .choice_bias = true, .groups = 4, .kept_groups = 2};
  return kind;
}

// Of one step of so many sequences, whose keys are many enough to be attended to in parts.
int64_t CountOfStep(const LayerKind& kind, int64_t layers, const ThreadGroup::Computes& computes, uint64_t sequences = 1) {
  ModelSpec spec{.family = "llama", .hidden = 64, .vocab = 97, .max_positions = 1024, .kinds = {kind}};
  spec.layer_kind.assign(static_cast<size_t>(layers), 0);
  const auto make_weights = [&](const RankCut& cut, Ops& ops) { return RandomRankWeights(spec, cut, 7, DType::kBF16, &ops); };
  auto group = ThreadGroup::Create(spec, {1, 1}, kSettings, make_weights, computes);
  EXPECT_TRUE(group.ok()) << group.status();
  StepPlan plan;
  for (uint64_t s = 0; s < sequences; ++s) {
    StepSequence sequence{.id = s + 1, .position = 600, .logits = LogitsWanted::kLast};
    sequence.tokens = {5};
    sequence.blocks.resize(38);
    std::iota(sequence.blocks.begin(), sequence.blocks.end(), static_cast<int32_t>(38 * s));
    plan.sequences.push_back(sequence);
  }
  long before = 0;
  for (const uint64_t step : {1, 2}) {  // the first step also takes lists to the device that stay there
    before = cuda_on_host::WorkDone();
    const absl::StatusOr<StepLogits> logits = (*group)->Run({step, plan.sequences});
    EXPECT_TRUE(logits.ok()) << logits.status();
  }
  return cuda_on_host::WorkDone() - before;
}

struct LayerCase {
  const char* name;
  LayerKind kind;
  int64_t in_bf16, in_f32;  // at most
};

TEST(CudaLaunches, OfALayerAreFew) {
  const LayerCase cases[] = {{"Llama", LikeLlama(), 9, 10}, {"Qwen-MoE", LikeQwenMoe(), 15, 15}, {"DeepSeek", LikeDeepSeek(), 23, 24}};
  for (const LayerCase& c : cases) {
    const auto of_layer = [&](CudaCompute compute) { return CountOfStep(c.kind, 3, OnCuda(compute)) - CountOfStep(c.kind, 2, OnCuda(compute)); };
    const int64_t in_bf16 = of_layer(CudaCompute::kBF16), in_f32 = of_layer(CudaCompute::kF32);
    std::printf("a layer like %s's: %ld launches, %ld in f32\n", c.name, in_bf16, in_f32);
    EXPECT_LE(in_bf16, c.in_bf16) << c.name;
    EXPECT_LE(in_f32, c.in_f32) << c.name;
  }
}

// Four sequences whose parts have room for one at once: three more rounds of two kernels.
TEST(CudaLaunches, AttentionGoesInAsManyRoundsAsItsRoomMakes) {
  for (const CudaCompute compute : {CudaCompute::kF32, CudaCompute::kBF16})
    EXPECT_EQ(CountOfStep(LikeLlama(), 1, OnCuda(compute, 1), 4) - CountOfStep(LikeLlama(), 1, OnCuda(compute), 4), 6);
}

}  // namespace
}  // namespace drover
