// What `drover health` says about every state a coordinator can be in: probes restart or unlist pods by it.
#include "cli/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace drover {
namespace {

using ::testing::HasSubstr;

v1::GetClusterResponse Cluster(bool ready, const std::string& state, const std::string& detail = "") {
  v1::GetClusterResponse cluster;
  cluster.set_model("demo");
  cluster.set_ready(ready);
  v1::GroupStatus* group = cluster.add_groups();
  group->set_name("w0");
  group->set_state(state);
  group->set_detail(detail);
  return cluster;
}

HealthQuestion Ask(const std::string& group, const std::string& check) {
  return {.coordinator = "127.0.0.1:1", .group = group, .check = check};
}

TEST(Health, CoordinatorIsReadyWhenItsModelAnswers) {
  EXPECT_TRUE(JudgeHealth(Ask("", "ready"), Cluster(true, "ready")).ok());
  const auto loading = JudgeHealth(Ask("", "ready"), Cluster(false, "loading", "loading weights"));
  ASSERT_FALSE(loading.ok());
  EXPECT_THAT(Message(loading.status()), HasSubstr("demo: not ready, group w0: loading (loading weights)"));
  EXPECT_THAT(Message(JudgeHealth(Ask("", "ready"), v1::GetClusterResponse()).status()), HasSubstr("no group has joined"));
}

TEST(Health, CoordinatorIsAliveWhileItAnswersAtAll) {
  EXPECT_TRUE(JudgeHealth(Ask("", "alive"), Cluster(false, "lost")).ok());
  EXPECT_FALSE(JudgeHealth(Ask("", "alive"), Unavailable("connection refused")).ok());
}

TEST(Health, GroupIsReadyOnlyWhenItServes) {
  for (const char* state : {"registered", "loading", "warming", "draining", "lost"})
    EXPECT_FALSE(JudgeHealth(Ask("w0", "ready"), Cluster(true, state)).ok()) << state;
  EXPECT_TRUE(JudgeHealth(Ask("w0", "ready"), Cluster(true, "ready")).ok());
  EXPECT_THAT(Message(JudgeHealth(Ask("w1", "ready"), Cluster(true, "ready")).status()), HasSubstr("group w1: has not joined"));
  EXPECT_FALSE(JudgeHealth(Ask("w0", "ready"), Unavailable("connection refused")).ok());
}

TEST(Health, GroupIsAliveUnlessTheCoordinatorSaysItIsLost) {
  for (const char* state : {"registered", "loading", "warming", "draining", "ready"})
    EXPECT_TRUE(JudgeHealth(Ask("w0", "alive"), Cluster(false, state)).ok()) << state;
  EXPECT_FALSE(JudgeHealth(Ask("w0", "alive"), Cluster(false, "lost", "rank 1 left")).ok());
  EXPECT_FALSE(JudgeHealth(Ask("w1", "alive"), Cluster(true, "ready")).ok());
}

TEST(Health, SilentCoordinatorSaysNothingAgainstItsGroups) {
  EXPECT_TRUE(JudgeHealth(Ask("w0", "alive"), Unavailable("connection refused")).ok());
}

TEST(Health, CommandReportsAnUnreachableCoordinatorByItsExitCode) {
  CLI::App app;
  int code = -1;
  AddHealthCommand(app, [&](int given) { code = given; });
  app.parse("health --coordinator 127.0.0.1:1 --timeout-ms 500", false);
  EXPECT_EQ(code, 1);
  EXPECT_THROW(app.parse("health --check fine", false), CLI::ValidationError);
}

}  // namespace
}  // namespace drover
