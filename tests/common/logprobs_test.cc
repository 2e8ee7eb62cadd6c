// Log-probabilities of rows whose probabilities are known.
#include "common/logprobs.h"

#include <gtest/gtest.h>

#include <cmath>

namespace drover {
namespace {

TEST(LogprobsTest, AreTheLogSoftmaxOfTheRow) {
  const std::vector<float> row = {1000, 1000, 1000 + std::log(2.0f)};
  const double z = LogSumExp(row);
  EXPECT_NEAR(z, 1000 + std::log(4.0), 1e-4);
  EXPECT_NEAR(LogprobOf(row, z, 0).logprob, std::log(0.25), 1e-4);
  const std::vector<TokenLogprob> top = TopLogprobs(row, z, 2);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].id, 2);
  EXPECT_EQ(top[1].id, 0);  // equal ones by ascending id
  EXPECT_NEAR(top[0].logprob, std::log(0.5), 1e-4);
  EXPECT_EQ(TopLogprobs(row, z, 9).size(), 3u);
  EXPECT_TRUE(TopLogprobs(row, z, 0).empty());
}

}  // namespace
}  // namespace drover
