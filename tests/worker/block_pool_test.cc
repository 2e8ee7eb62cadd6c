// BlockPool: ids are handed out once, come back once, and are counted.
#include "worker/kv/block_pool.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(BlockPoolTest, HandsOutEveryBlockOnce) {
  BlockPool pool(4);
  std::vector<int32_t> a, b;
  ASSERT_TRUE(pool.GrowTo(a, 3));
  ASSERT_TRUE(pool.GrowTo(b, 1));
  EXPECT_EQ(a, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(b, (std::vector<int32_t>{3}));
  EXPECT_EQ(pool.available(), 0);
  EXPECT_EQ(pool.used(), 4);
}

TEST(BlockPoolTest, RefusesWithoutTakingAnyWhenTooFewAreLeft) {
  BlockPool pool(4);
  std::vector<int32_t> a;
  ASSERT_TRUE(pool.GrowTo(a, 2));
  EXPECT_FALSE(pool.GrowTo(a, 5));
  EXPECT_EQ(a.size(), 2u);
  EXPECT_EQ(pool.available(), 2);
}

TEST(BlockPoolTest, GrowingToWhatIsHeldTakesNothing) {
  BlockPool pool(1);
  std::vector<int32_t> a;
  ASSERT_TRUE(pool.GrowTo(a, 1));
  EXPECT_TRUE(pool.GrowTo(a, 1));
  EXPECT_TRUE(pool.GrowTo(a, 0));
  EXPECT_EQ(a.size(), 1u);
}

TEST(BlockPoolTest, ReleasedBlocksAreHandedOutAgain) {
  BlockPool pool(3);
  std::vector<int32_t> a, b;
  ASSERT_TRUE(pool.GrowTo(a, 3));
  pool.Release(a);
  EXPECT_TRUE(a.empty());
  ASSERT_TRUE(pool.GrowTo(b, 3));
  EXPECT_EQ(b, (std::vector<int32_t>{0, 1, 2}));
}

TEST(BlockPoolDeathTest, ReleasingAForeignBlockIsABug) {
  BlockPool pool(2);
  std::vector<int32_t> never_taken = {1};
  EXPECT_DEATH(pool.Release(never_taken), "in_use_");
}

}  // namespace
}  // namespace drover
