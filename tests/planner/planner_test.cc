// The planner: bytes per rank add up, wishes are honoured or refused by name, and what does not fit is explained.
#include "coordinator/planner.h"

#include <gtest/gtest.h>

#include <numeric>

#include "coordinator/planner_report.h"
#include "models/registry.h"
#include "models/weights.h"

namespace drover {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

Checkpoint Model(const std::string& architecture, const std::string& extra) {
  Checkpoint checkpoint;
  checkpoint.name = "test";
  const auto spec = SpecFromConfigText(R"({"architectures":[")" + architecture + R"("],)" + extra +
                                       R"("hidden_size":2048,"max_position_embeddings":40960,"num_hidden_layers":8,"vocab_size":32000})");
  EXPECT_TRUE(spec.ok()) << spec.status();
  checkpoint.spec = *spec;
  return checkpoint;
}
Checkpoint Dense() {
  return Model("LlamaForCausalLM", R"("num_attention_heads":16,"num_key_value_heads":4,"intermediate_size":8192,)");
}
Checkpoint Routed(int64_t experts, int64_t width) {
  return Model("Qwen3MoeForCausalLM", Cat(R"("num_attention_heads":16,"num_key_value_heads":4,"intermediate_size":8192,"head_dim":128,"num_experts":)",
                                          experts, R"(,"num_experts_per_tok":2,"moe_intermediate_size":)", width, ","));
}
Checkpoint Latent() {
  return Model("DeepseekV3ForCausalLM", R"("num_attention_heads":16,"num_key_value_heads":16,"intermediate_size":8192,"moe_intermediate_size":512,
      "n_routed_experts":8,"num_experts_per_tok":2,"n_shared_experts":1,"first_k_dense_replace":1,"n_group":2,"topk_group":1,"kv_lora_rank":512,
      "q_lora_rank":768,"qk_nope_head_dim":128,"qk_rope_head_dim":64,"v_head_dim":128,)");
}

Inventory Machines(int64_t ranks, int64_t memory, int64_t ranks_a_host = 1, int64_t cores = 8) {
  Inventory inventory;
  for (int64_t r = 0; r < ranks; ++r) inventory.ranks.push_back({Cat("h", r / ranks_a_host), memory, cores});
  return inventory;
}

TEST(Plan, WeightsAreWhatTheRanksWillHold) {
  for (const Checkpoint& checkpoint : {Dense(), Routed(6, 768)})
    for (const int64_t ranks : {1, 2, 3, 4, 7, 64}) {
      const auto plan = MakePlan(checkpoint, {.ranks = ranks}, {});
      ASSERT_TRUE(plan.ok()) << plan.status();
      ASSERT_EQ(plan->rank_bytes.size(), static_cast<size_t>(ranks));
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const RankBytes& bytes = plan->rank_bytes[static_cast<size_t>(rank)];
        EXPECT_EQ(bytes.weights, WeightBytes(checkpoint, CutOf(*plan, rank)));
        EXPECT_EQ(bytes.kv, plan->kv_blocks * plan->block_tokens * KvBytesPerToken(checkpoint.spec, CutOf(*plan, rank), 4));
        EXPECT_GT(bytes.runtime, int64_t{32} << 20);
      }
    }
}

TEST(Plan, DefaultsHoldALongestSequence) {
  const auto plan = MakePlan(Dense(), {}, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->max_model_len, 32768);
  EXPECT_EQ(plan->kv_blocks * plan->block_tokens, 65536);
  EXPECT_EQ(plan->expert_parts, 1);
  EXPECT_EQ(plan->threads, 1);
}

TEST(Plan, WideExpertsAreCutAndThinOnesSpread) {
  EXPECT_EQ(MakePlan(Routed(128, 1024), {.ranks = 4}, {})->expert_parts, 1);
  EXPECT_EQ(MakePlan(Routed(128, 768), {.ranks = 4}, {})->expert_parts, 2);
  EXPECT_EQ(MakePlan(Routed(128, 256), {.ranks = 4}, {})->expert_parts, 4);
  EXPECT_EQ(MakePlan(Routed(128, 256), {.ranks = 4, .expert_parts = 2}, {})->expert_parts, 2);
}

TEST(Plan, ExpertsThatDoNotDivideAreNotSpreadUnevenly) {
  // 6 experts of 400 on 4 ranks: 4 sets would hold 1, 2, 1 and 2 experts, 2 sets hold 3 each.
  EXPECT_EQ(MakePlan(Routed(6, 400), {.ranks = 4}, {})->expert_parts, 2);
}

TEST(Plan, CacheAndContextShrinkToTheMemory) {
  const auto plan = MakePlan(Dense(), {.ranks = 2}, Machines(2, 3 * kGiB / 2));
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LT(plan->kv_blocks * plan->block_tokens, 65536);
  EXPECT_LE(plan->max_model_len, plan->kv_blocks * plan->block_tokens);
  for (const RankBytes& bytes : plan->rank_bytes) EXPECT_LE(bytes.total(), 3 * kGiB / 2);
}

TEST(Plan, RanksOfOneHostShareItsMemoryAndCores) {
  const auto apart = MakePlan(Dense(), {.ranks = 4}, Machines(4, 3 * kGiB)), together = MakePlan(Dense(), {.ranks = 4}, Machines(4, 3 * kGiB, 4));
  ASSERT_TRUE(apart.ok() && together.ok()) << apart.status() << together.status();
  EXPECT_GT(apart->kv_blocks, together->kv_blocks);
  EXPECT_EQ(apart->threads, 8);
  EXPECT_EQ(together->threads, 2);
  int64_t sum = 0;
  for (const RankBytes& bytes : together->rank_bytes) sum += bytes.total();
  EXPECT_LE(sum, 3 * kGiB);
}

TEST(Plan, WhatDoesNotFitSaysHowManyRanksWould) {
  const auto plan = MakePlan(Dense(), {.ranks = 1}, Machines(1, kGiB));
  ASSERT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted) << plan.status();
  const std::string text = Message(plan.status());
  const size_t at = text.find("use >= ");
  ASSERT_NE(at, std::string::npos) << text;
  const int64_t enough = std::stoll(text.substr(at + 7));
  EXPECT_GT(enough, 1);
  const Inventory more = Machines(enough, kGiB), fewer = Machines(enough - 1, kGiB);
  EXPECT_NE(Message(MakePlan(Dense(), {.ranks = enough}, more).status()).find("weights need"), 0u);
  EXPECT_EQ(Message(MakePlan(Dense(), {.ranks = enough - 1}, fewer).status()).find("weights need"), 0u);
}

TEST(Plan, ASharedHostThatIsTooSmallIsNamed) {
  const auto plan = MakePlan(Dense(), {.ranks = 2}, Machines(2, kGiB, 2));
  EXPECT_NE(Message(plan.status()).find("2 ranks of host h0"), std::string::npos) << plan.status();
}

struct Bad {
  const char* name;
  PlanOptions options;
  absl::StatusCode code;
  const char* message;
};
class BadPlan : public testing::TestWithParam<Bad> {};

TEST_P(BadPlan, IsRefusedByName) {
  const auto plan = MakePlan(Dense(), GetParam().options, Machines(GetParam().options.ranks, 3 * kGiB));
  EXPECT_EQ(plan.status().code(), GetParam().code) << plan.status();
  EXPECT_NE(Message(plan.status()).find(GetParam().message), std::string::npos) << plan.status();
}

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
INSTANTIATE_TEST_SUITE_P(All, BadPlan, testing::Values(
    Bad{"NoRanks", {.ranks = 0}, kInvalid, "ranks: found 0, expected 1 to 1024"},
    Bad{"TooManyRanks", {.ranks = 1025}, kInvalid, "ranks: found 1025"},
    Bad{"NegativeRanks", {.ranks = -1}, kInvalid, "ranks: found -1"},
    Bad{"ExpertPartsOfDense", {.ranks = 4, .expert_parts = 2}, kInvalid, "the model has no experts"},
    Bad{"ExpertPartsDoNotDivide", {.ranks = 4, .expert_parts = 3}, kInvalid, "expert_parts: found 3, expected a divisor of the 4 ranks"},
    Bad{"StagesDoNotDivide", {.ranks = 4, .stages = 3}, kInvalid, "pipeline: found 3 stages, expected a divisor of the 4 ranks"},
    Bad{"MoreStagesThanRanks", {.ranks = 2, .stages = 4}, kInvalid, "pipeline: found 4, expected 1 to 2"},
    Bad{"AttentionPartsDoNotDivide", {.ranks = 4, .attention_parts = 3}, kInvalid,
        "data_parallel_attention: found 3 parts, expected a divisor of the 4 ranks"},
    Bad{"AttentionPartsDoNotDivideAStage", {.ranks = 4, .stages = 2, .attention_parts = 4}, kInvalid,
        "data_parallel_attention: found 4 parts, expected a divisor of the 2 ranks of a stage"},
    Bad{"NoAttentionParts", {.attention_parts = 0}, kInvalid, "data_parallel_attention: found 0, expected 1 to 1"},
    Bad{"ContextAboveAPartsCache", {.ranks = 2, .attention_parts = 2, .max_model_len = 1000, .kv_tokens = 1024}, kExhausted,
        "max_model_len: found 1000, but the KV cache has room for 512 tokens in each of 2 attention parts"},
    Bad{"ContextAboveTheModels", {.max_model_len = 50'000}, kInvalid, "max_model_len: found 50000, expected 0 to 40960"},
    Bad{"CacheTooLarge", {.kv_tokens = 1 << 20}, kExhausted, "kv_tokens: found 1048576"},
    Bad{"ContextAboveTheCache", {.max_model_len = 40'000, .kv_tokens = 1024}, kExhausted, "max_model_len: found 40000"},
    Bad{"MemoryLimit", {.memory_limit = 1 << 20}, kExhausted, "1.00 MiB to give"},
    Bad{"NegativeSequences", {.max_sequences = -1}, kInvalid, "max_sequences: found -1"}),
    [](const auto& row) { return std::string(row.param.name); });

// Layers, embedding and output lie on one stage each, so the sum over ranks is that of one rank; the cache as well.
TEST(Plan, StagesShareTheLayers) {
  const auto whole = MakePlan(Dense(), {.ranks = 1}, {}), cut = MakePlan(Dense(), {.ranks = 2, .stages = 2}, {});
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->stages, 2);
  const RankBytes one = whole->rank_bytes[0], first = cut->rank_bytes[0], second = cut->rank_bytes[1];
  EXPECT_EQ(first.weights + second.weights, one.weights);
  for (int64_t rank = 0; rank < 2; ++rank)
    EXPECT_NEAR(static_cast<double>(cut->rank_bytes[static_cast<size_t>(rank)].weights), one.weights / 2.0, one.weights * 0.01) << rank;
  EXPECT_EQ((first.kv + second.kv) * whole->kv_blocks, one.kv * cut->kv_blocks);
  EXPECT_NE(cut->fingerprint, MakePlan(Dense(), {.ranks = 2}, {})->fingerprint);
}

// The same room for the group: without parts every rank caches all latents, in D parts one D-th of them.
TEST(Plan, DataParallelAttentionDividesTheLatentCache) {
  const int64_t kv_tokens = 1 << 16;
  const auto whole = MakePlan(Latent(), {.ranks = 4, .kv_tokens = kv_tokens}, {});
  ASSERT_TRUE(whole.ok()) << whole.status();
  for (const int64_t parts : {2, 4}) {
    const auto cut = MakePlan(Latent(), {.ranks = 4, .attention_parts = parts, .max_model_len = 4096, .kv_tokens = kv_tokens}, {});
    ASSERT_TRUE(cut.ok()) << cut.status();
    EXPECT_EQ(cut->attention_parts, parts);
    EXPECT_EQ(cut->kv_blocks * cut->block_tokens * parts, kv_tokens);
    for (size_t rank = 0; rank < 4; ++rank) {
      EXPECT_EQ(cut->rank_bytes[rank].kv * parts, whole->rank_bytes[rank].kv);
      EXPECT_EQ(cut->rank_bytes[rank].weights, WeightBytes(Latent(), CutOf(*cut, static_cast<int64_t>(rank))));
    }
    EXPECT_NE(cut->fingerprint, whole->fingerprint);
  }
  EXPECT_NE(PlanTable(Latent(), *whole).find("a token is cached 4.0 times, once with --data-parallel-attention 4\n"), std::string::npos);
  EXPECT_EQ(PlanTable(Dense(), *MakePlan(Dense(), {.ranks = 4}, {})).find("hint"), std::string::npos);
}

// By default a longest sequence fits into every part.
TEST(Plan, EachAttentionPartHoldsALongestSequence) {
  const auto plan = MakePlan(Dense(), {.ranks = 4, .attention_parts = 4}, {});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->max_model_len, 32768);
  EXPECT_EQ(plan->kv_blocks * plan->block_tokens, 32768);
}

// The leader holds the logits of all running sequences; the last stage makes them, some rows at a time.
TEST(Plan, TheLeaderHasRoomForLogits) {
  const auto few = MakePlan(Dense(), {.ranks = 4, .stages = 2, .max_sequences = 1}, {});
  const auto many = MakePlan(Dense(), {.ranks = 4, .stages = 2, .max_sequences = 101}, {});
  ASSERT_TRUE(few.ok() && many.ok());
  const int64_t row = 32000 * 4, edits = 8192 * 16, mask = 32000 / 8;
  const int64_t expected[] = {2 * row + edits + mask, 0, 0, 0};  // one row of two to sample from
  for (size_t rank = 0; rank < 4; ++rank)
    EXPECT_EQ(many->rank_bytes[rank].runtime - few->rank_bytes[rank].runtime, 100 * expected[rank]) << rank;
}

TEST(Plan, InventoryMustHaveEveryRank) {
  EXPECT_NE(Message(MakePlan(Dense(), {.ranks = 2}, Machines(1, kGiB)).status()).find("1 have joined"), std::string::npos);
}

TEST(Fingerprint, ChangesWithWhatMatters) {
  const auto one = MakePlan(Dense(), {.ranks = 2}, {}), same = MakePlan(Dense(), {.ranks = 2}, {});
  EXPECT_EQ(one->fingerprint, same->fingerprint);
  EXPECT_EQ(one->fingerprint.size(), 16u);
  EXPECT_NE(one->fingerprint, MakePlan(Dense(), {.ranks = 3}, {})->fingerprint);
  EXPECT_NE(one->fingerprint, MakePlan(Dense(), {.ranks = 2, .max_sequences = 8}, {})->fingerprint);
  EXPECT_NE(one->fingerprint, MakePlan(Routed(8, 256), {.ranks = 2}, {})->fingerprint);
  Checkpoint other = Dense();
  other.tensors["x"] = {.name = "x", .offset = 8};
  EXPECT_NE(one->fingerprint, MakePlan(other, {.ranks = 2}, {})->fingerprint);
  Checkpoint exchanged = Dense();  // other weights of the same layout, in the same place
  exchanged.stamps = {"model.safetensors|8|1"};
  EXPECT_NE(one->fingerprint, MakePlan(exchanged, {.ranks = 2}, {})->fingerprint);
}

TEST(Report, TableIsNarrowAndJsonAddsUp) {
  for (const int64_t ranks : {1, 4, 64, 1000}) {
    const Checkpoint checkpoint = Routed(128, 768);
    const auto plan = MakePlan(checkpoint, {.ranks = ranks}, {});
    ASSERT_TRUE(plan.ok()) << plan.status();
    const std::string table = PlanTable(checkpoint, *plan);
    for (size_t begin = 0; begin < table.size();) {
      const size_t end = table.find('\n', begin);
      EXPECT_LE(end - begin, 80u) << table.substr(begin, end - begin);
      begin = end + 1;
    }
    const Json json = PlanJson(checkpoint, *plan);
    int64_t sum = 0;
    for (const Json& rank : json["rank_plans"]) sum += rank["bytes"].get<int64_t>();
    EXPECT_EQ(json["total"]["bytes"].get<int64_t>(), sum);
    EXPECT_EQ(json["rank_plans"].size(), static_cast<size_t>(ranks));
  }
}

TEST(Report, Numbers) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(80 * kGiB), "80.0 GiB");
  EXPECT_EQ(FormatBytes(1000 * kGiB), "1000 GiB");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(8'030'261'248), "8.03 B");
  EXPECT_EQ(FormatCount(1'990'587'793'408), "1.99 T");
}

}  // namespace
}  // namespace drover
