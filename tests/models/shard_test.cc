// Cutting a model over ranks: uneven heads, experts and columns, empty ranges, and no unit lost or owned twice.
#include "models/shard.h"

#include <gtest/gtest.h>

#include "models/weights.h"

namespace drover {
namespace {

Attention Heads(int64_t heads, int64_t kv_heads) {
  Attention attention;
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  attention.head_dim = 8;
  return attention;
}

TEST(PartOf, CoversEverythingInOrderForAnyCounts) {
  for (int64_t total = 0; total <= 40; ++total)
    for (int64_t parts = 1; parts <= 17; ++parts) {
      int64_t at = 0;
      for (int64_t i = 0; i < parts; ++i) {
        const Range range = PartOf(total, i, parts);
        EXPECT_EQ(range.begin, at);
        EXPECT_LE(range.size(), total / parts + 1);
        at = range.end;
      }
      EXPECT_EQ(at, total);
    }
}

TEST(RankCut, NineHeadsOnThreeKvHeads) {
  const Attention smollm = Heads(9, 3);
  const Range two[] = {{0, 4}, {4, 9}}, two_kv[] = {{0, 2}, {1, 3}};
  for (int64_t r = 0; r < 2; ++r) {
    EXPECT_EQ((RankCut{{2, 1}, r}.Heads(smollm)), two[r]);
    EXPECT_EQ((RankCut{{2, 1}, r}.KvHeads(smollm)), two_kv[r]);  // head 1 serves query heads 3, 4 and 5: on both ranks
  }
  const Range four[] = {{0, 2}, {2, 4}, {4, 6}, {6, 9}}, four_kv[] = {{0, 1}, {0, 2}, {1, 2}, {2, 3}};
  for (int64_t r = 0; r < 4; ++r) {
    EXPECT_EQ((RankCut{{4, 1}, r}.Heads(smollm)), four[r]);
    EXPECT_EQ((RankCut{{4, 1}, r}.KvHeads(smollm)), four_kv[r]);
  }
}

TEST(RankCut, MoreRanksThanHeadsLeavesSomeEmpty) {
  const Attention attention = Heads(3, 1);
  int64_t heads = 0;
  for (int64_t r = 0; r < 8; ++r) {
    const RankCut cut{{8, 1}, r};
    heads += cut.Heads(attention).size();
    EXPECT_EQ(cut.Heads(attention).empty(), cut.KvHeads(attention).empty());
  }
  EXPECT_EQ(heads, 3);
}

TEST(RankCut, FirstKvHeadsAreEachKvHeadOnce) {
  for (const auto& [heads, kv_heads] : {std::pair<int64_t, int64_t>{9, 3}, {3, 1}, {6, 6}, {8, 2}, {7, 1}})
    for (int64_t ranks = 1; ranks <= 11; ++ranks) {
      int64_t next = 0;
      for (int64_t r = 0; r < ranks; ++r) {
        const Range own = RankCut{{ranks, 1}, r}.FirstKvHeads(Heads(heads, kv_heads));
        if (own.empty()) continue;
        EXPECT_EQ(own.begin, next) << heads << "/" << kv_heads << " on " << ranks;
        next = own.end;
      }
      EXPECT_EQ(next, kv_heads);
    }
}

// Attention is cut as over the ranks of a part alone; the rest as if there were no parts.
TEST(RankCut, AttentionPartsCutOnlyAttention) {
  const Attention attention = Heads(9, 3);
  for (int64_t r = 0; r < 6; ++r) {
    const RankCut cut{{6, 1, 1, 2}, r}, alone{{3, 1}, r % 3}, whole{{6, 1}, r};
    EXPECT_EQ(cut.attention_part(), r / 3);
    EXPECT_EQ(cut.Heads(attention), alone.Heads(attention));
    EXPECT_EQ(cut.KvHeads(attention), alone.KvHeads(attention));
    EXPECT_EQ(cut.FirstKvHeads(attention), alone.FirstKvHeads(attention));
    EXPECT_EQ(cut.FfnColumns(100), whole.FfnColumns(100));
  }
}

TEST(RankCut, SixExpertsOnFourRanks) {
  const struct Experts experts{.count = 6, .active = 2, .hidden = 10};
  const Range spread[] = {{0, 1}, {1, 3}, {3, 4}, {4, 6}};
  for (int64_t r = 0; r < 4; ++r) {
    EXPECT_EQ((RankCut{{4, 4}, r}.Experts(experts)), spread[r]);
    EXPECT_EQ((RankCut{{4, 4}, r}.ExpertColumns(experts)), (Range{0, 10}));
    EXPECT_EQ((RankCut{{4, 2}, r}.Experts(experts)), (r < 2 ? Range{0, 3} : Range{3, 6}));
    EXPECT_EQ((RankCut{{4, 2}, r}.ExpertColumns(experts)), (r % 2 == 0 ? Range{0, 5} : Range{5, 10}));
    EXPECT_EQ((RankCut{{4, 1}, r}.Experts(experts)), (Range{0, 6}));
  }
}

TEST(KvBytes, CountsEveryOwnKvHeadInBothCaches) {
  ModelSpec spec;
  LayerKind kind;
  kind.attention = Heads(9, 3);
  spec.kinds = {kind};
  spec.layer_kind = {0, 0, 0};
  EXPECT_EQ(KvBytesPerToken(spec, {{1, 1}, 0}, 4), 3 * 2 * 3 * 8 * 4);
  EXPECT_EQ(KvBytesPerToken(spec, {{2, 1}, 0}, 4), 3 * 2 * 2 * 8 * 4);
}

TEST(KvBytes, ALatentIsCachedOnceOnEveryRankWithHeads) {
  ModelSpec spec;
  LayerKind kind;
  kind.attention = Heads(3, 1);
  kind.attention.head_dim = 24;
  kind.attention.latent = LatentKv{.kv_rank = 32, .nope_dim = 16, .value_dim = 20};
  spec.kinds = {kind};
  spec.layer_kind = {0, 0};
  for (int64_t r = 0; r < 4; ++r)  // the first of four ranks has none of the three heads
    EXPECT_EQ(KvBytesPerToken(spec, {{4, 1}, r}, 4), r == 0 ? 0 : 2 * (32 + 8) * 4) << r;
}

TEST(StoredCols, KeepsBorderBlocksWhole) {
  const StoredColumns q4 = StoredCols({40, 100}, {.codes = DType::kQ4_0});
  EXPECT_EQ(q4.range, (Range{32, 128}));
  EXPECT_EQ(q4.lead, 8);
  EXPECT_EQ(q4.bytes, 3 * 18);
  const StoredColumns plain = StoredCols({40, 100}, {.codes = DType::kBF16});
  EXPECT_EQ(plain.range, (Range{40, 100}));
  EXPECT_EQ(plain.lead, 0);
  EXPECT_EQ(plain.bytes, 120);
}

}  // namespace
}  // namespace drover
