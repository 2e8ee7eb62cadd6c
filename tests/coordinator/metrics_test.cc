// What /metrics says of numbers that groups count since their start: sums that never shrink.
#include "coordinator/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover {
namespace {

using testing::HasSubstr;

LoadGauges WithGaps(int count, double gap) {
  LoadGauges load;
  for (int i = 0; i < count; ++i) load.gaps.Add(gap);
  return load;
}

TEST(Metrics, CountTheGapsBetweenSteps) {
  Metrics metrics("toy");
  metrics.SetLoad(WithGaps(3, 60e-6));
  metrics.SetLoad(WithGaps(5, 60e-6));
  metrics.SetLoad(WithGaps(2, 60e-6));  // a group is gone, with what it had counted
  metrics.SetLoad(WithGaps(4, 60e-6));
  metrics.SetLoad(WithGaps(4, 60e-6));
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("drover_host_gap_seconds_bucket{engine=\"0\",model_name=\"toy\",le=\"4e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("drover_host_gap_seconds_bucket{engine=\"0\",model_name=\"toy\",le=\"0.0001\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("drover_host_gap_seconds_count{engine=\"0\",model_name=\"toy\"} 7\n"));
}

TEST(HostGaps, AnEdgeBelongsToTheGapsBelowIt) {
  HostGaps gaps;
  gaps.Add(100e-6);
  gaps.Add(100.1e-6);
  gaps.Add(3600);
  EXPECT_EQ(gaps.counts[5], 1u);
  EXPECT_EQ(gaps.counts[6], 1u);
  EXPECT_EQ(gaps.counts.back(), 1u);
  EXPECT_DOUBLE_EQ(gaps.seconds, 3600.0002001);
}

}  // namespace
}  // namespace drover
