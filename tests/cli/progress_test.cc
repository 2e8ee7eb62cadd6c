// The loading line: bounds, uneven ranks, terminals too narrow for every rank.
#include "cli/progress.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

v1::GetClusterResponse Cluster(const std::vector<double>& loaded) {
  v1::GetClusterResponse cluster;
  v1::GroupStatus& group = *cluster.add_groups();
  group.set_state("loading");
  for (double share : loaded) group.add_ranks()->set_loaded(share);
  return cluster;
}

TEST(ProgressLine, ShowsTheMeanAndEachRank) {
  EXPECT_EQ(ProgressLine(Cluster({0.5, 0.5}), 80), "loading [###############...............]  50 %  2 ranks: 50 50");
  EXPECT_EQ(ProgressLine(Cluster({1, 1}), 80), "loading [##############################] 100 %  2 ranks: 100 100");
}

TEST(ProgressLine, StaysInsideTheTerminalAndItsBounds) {
  EXPECT_LE(ProgressLine(Cluster(std::vector<double>(200, 0.99)), 80).size(), 80u);
  EXPECT_EQ(ProgressLine(Cluster({-1, 7}), 80), "loading [###############...............]  50 %  2 ranks: 0 100");
}

TEST(ProgressLine, SaysWhenNobodyIsThere) {
  EXPECT_EQ(ProgressLine({}, 80), "waiting for the ranks");
  EXPECT_EQ(ProgressLine(Cluster({}), 80), "loading");
}

}  // namespace
}  // namespace drover
