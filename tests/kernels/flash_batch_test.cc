// What FlashInfer's kernels are told about a batch, and what they are asked at all.
#include <gtest/gtest.h>

#include "kernels/cuda/flashinfer/flash_batch.h"

namespace drover::cuda {
namespace {

using Ints = std::vector<int32_t>;

TEST(FlashBatch, ListsTheBlocksThatHoldKeysAndNoMore) {
  const Ints first = {7, 3, 9}, second = {4, 1};  // one more than is used, each
  const std::vector<SequenceRows> sequences = {{0, 1, 16, first}, {1, 3, 13, second}};
  const auto batch = MakeFlashBatch(sequences, 16);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->row_starts, (Ints{0, 1, 4}));
  EXPECT_EQ(batch->block_starts, (Ints{0, 2, 3}));
  EXPECT_EQ(batch->blocks, (Ints{7, 3, 4}));
  EXPECT_EQ(batch->last_tokens, (Ints{1, 16}));
  EXPECT_FALSE(batch->one_row_each());
}

TEST(FlashBatch, RowsMustBeTheSequencesInTurn) {
  const Ints blocks = {0, 1};
  EXPECT_FALSE(MakeFlashBatch(std::vector<SequenceRows>{{1, 1, 0, blocks}}, 4).has_value());
  EXPECT_FALSE(MakeFlashBatch(std::vector<SequenceRows>{{0, 1, 0, blocks}, {2, 1, 0, blocks}}, 4).has_value());
  EXPECT_FALSE(MakeFlashBatch(std::vector<SequenceRows>{{0, 0, 0, blocks}}, 4).has_value());
  EXPECT_FALSE(MakeFlashBatch(std::vector<SequenceRows>{{0, 1, 8, blocks}}, 4).has_value());  // block 2 is missing
  EXPECT_FALSE(MakeFlashBatch({}, 4).has_value());
  EXPECT_TRUE(MakeFlashBatch(std::vector<SequenceRows>{{0, 1, 7, blocks}}, 4)->one_row_each());
}

TEST(FlashBatch, OnlyPlainAttentionOverBrainFloatsIsCovered) {
  const KvLayer kv{nullptr, nullptr, 16, 2, 128, DType::kBF16};
  const AttentionShape shape{.heads = 8, .first_head = 4, .kv_heads = 2, .first_kv_head = 1, .group = 4, .head_dim = 128, .softcap = 30, .window = 9};
  EXPECT_TRUE(FlashCovers(kv, shape));
  const auto not_covered = [&](auto change) {
    KvLayer other_kv = kv;
    AttentionShape other = shape;
    change(other_kv, other);
    return !FlashCovers(other_kv, other);
  };
  const std::vector<float> eight(8);
  EXPECT_TRUE(not_covered([](KvLayer& k, AttentionShape&) { k.type = DType::kF32; }));
  EXPECT_TRUE(not_covered([](KvLayer& k, AttentionShape& s) { k.head_dim = s.head_dim = 96; }));
  EXPECT_TRUE(not_covered([](KvLayer&, AttentionShape& s) { s.value_dim = 64; }));
  EXPECT_TRUE(not_covered([](KvLayer&, AttentionShape& s) { s.chunk = 64; }));
  EXPECT_TRUE(not_covered([](KvLayer&, AttentionShape& s) { s.first_head = 2; }));
  EXPECT_TRUE(not_covered([](KvLayer&, AttentionShape& s) { s.heads = 7; }));
  EXPECT_TRUE(not_covered([&](KvLayer&, AttentionShape& s) { s.sinks = eight; }));
  EXPECT_TRUE(not_covered([&](KvLayer&, AttentionShape& s) { s.slopes = eight; }));
}

}  // namespace
}  // namespace drover::cuda
