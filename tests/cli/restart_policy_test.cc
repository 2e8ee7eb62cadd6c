// Back-off grows, is bounded, and ends; failures of long ago do not count.
#include "cli/restart_policy.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

TEST(RestartPolicy, WaitsOneTwoFourEightSecondsAndGivesUpAtTheFifth) {
  RestartPolicy policy;
  const TimePoint start{};
  for (int seconds_waited : {1, 2, 4, 8}) EXPECT_EQ(policy.Failed(start), Duration(seconds(seconds_waited)));
  EXPECT_EQ(policy.Failed(start), std::nullopt);
}

TEST(RestartPolicy, FailuresOutsideTheWindowAreForgotten) {
  RestartPolicy policy;
  TimePoint now{};
  for (int i = 0; i < 20; ++i, now += minutes(11)) EXPECT_EQ(policy.Failed(now), Duration(seconds(1)));
}

TEST(RestartPolicy, DelayIsBounded) {
  RestartPolicy policy({.delay_max = seconds(3), .failures_max = 10});
  for (int i = 0; i < 8; ++i) EXPECT_LE(policy.Failed(TimePoint{}), Duration(seconds(3)));
}

}  // namespace
}  // namespace drover
