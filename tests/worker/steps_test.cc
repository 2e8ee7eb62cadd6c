// The step path over loopback: who is accepted, what arrives, and how ends are noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/queue.h"
#include "worker/steps_follower.h"
#include "worker/steps_service.h"

namespace drover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr StepBounds kBounds{.vocab = 10, .kv_blocks = 4, .block_tokens = 4, .max_step_tokens = 8};

std::chrono::steady_clock::time_point In(milliseconds time) { return std::chrono::steady_clock::now() + time; }

StepPlan PlanOf(uint64_t step) {
  return {.step = step, .sequences = {{.id = 1, .position = 0, .tokens = {1, 2}, .blocks = {0}, .logits = LogitsWanted::kLast}}};
}

class StepsTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<StepsService>> service = StepsService::Listen("127.0.0.1:0");
    ASSERT_TRUE(service.ok()) << Message(service.status());
    leader_ = *std::move(service);
  }
  void Begin(int64_t ranks) {
    leader_->BeginEpoch(Epoch{5}, "secret", ranks, [this](int64_t rank) { lost_.TryPush(rank); });
  }
  absl::StatusOr<std::unique_ptr<StepsFollower>> Dial(int64_t rank, milliseconds patience = seconds(10), std::string nonce = "secret",
                                                      uint64_t epoch = 5) {
    return StepsFollower::Dial({.address = Cat("127.0.0.1:", leader_->port()), .nonce = nonce, .epoch = Epoch{epoch}, .rank = rank},
                               In(patience));
  }

  BoundedQueue<int64_t> lost_{8};
  std::unique_ptr<StepsService> leader_;
};

TEST_F(StepsTest, EveryFollowerGetsEveryStepInOrder) {
  Begin(3);
  auto one = Dial(1), two = Dial(2);
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_TRUE(leader_->WaitForFollowers(In(seconds(10))).ok());
  for (uint64_t step = 1; step <= 40; ++step) ASSERT_TRUE(leader_->Send(PlanOf(step)).ok());
  for (uint64_t step = 1; step <= 40; ++step) {
    for (StepsFollower* follower : {one->get(), two->get()}) {
      const absl::StatusOr<NextStep> next = follower->Next(kBounds);
      ASSERT_TRUE(next.ok());
      EXPECT_EQ(next->plan, PlanOf(step));
    }
  }
  leader_->EndEpoch(Farewell::kRejoin);
  for (StepsFollower* follower : {one->get(), two->get()}) {
    const absl::StatusOr<NextStep> next = follower->Next(kBounds);
    ASSERT_TRUE(next.ok());
    EXPECT_TRUE(next->leave && next->rejoin);
  }
  EXPECT_EQ(lost_.Pop(milliseconds(100)), std::nullopt);
}

TEST_F(StepsTest, OnlyTheRightEpochAndNonceAreAccepted) {
  Begin(2);
  EXPECT_THAT(Message(Dial(1, milliseconds(1500), "guess").status()), HasSubstr("the leader is not in this epoch"));
  EXPECT_THAT(Message(Dial(1, milliseconds(1500), "secret", 4).status()), HasSubstr("the leader is not in this epoch"));
  EXPECT_THAT(Message(Dial(2, milliseconds(1500)).status()), HasSubstr("rank: found 2, expected 1 to 1"));
  EXPECT_TRUE(Dial(1).ok());
}

TEST_F(StepsTest, ARankFollowsOnce) {
  Begin(2);
  auto first = Dial(1);
  ASSERT_TRUE(first.ok());
  EXPECT_THAT(Message(Dial(1, milliseconds(1500)).status()), HasSubstr("rank 1 follows already"));
}

TEST_F(StepsTest, AFollowerMayComeBeforeItsEpoch) {
  std::thread late([this] {
    std::this_thread::sleep_for(milliseconds(200));
    Begin(2);
  });
  EXPECT_TRUE(Dial(1).ok());
  late.join();
}

TEST_F(StepsTest, MissingRanksAreNamed) {
  Begin(4);
  auto two = Dial(2);
  EXPECT_EQ(Message(leader_->WaitForFollowers(In(milliseconds(50)))), "ranks 1, 3 did not come to the leader in time");
}

TEST_F(StepsTest, AFollowersEndIsNoticedAtOnce) {
  Begin(2);
  auto follower = Dial(1);
  ASSERT_TRUE(follower.ok());
  follower->reset();
  EXPECT_EQ(lost_.Pop(seconds(5)), 1);
  EXPECT_EQ(Message(leader_->Send(PlanOf(1))), "step 1: a follower is gone");
}

TEST_F(StepsTest, TheLeadersEndIsNoticedAtOnce) {
  Begin(2);
  auto follower = Dial(1);
  ASSERT_TRUE(follower.ok());
  std::thread leaves([this] { leader_.reset(); });
  const absl::StatusOr<NextStep> next = (*follower)->Next(kBounds);
  EXPECT_TRUE(!next.ok() || next->leave);
  follower->reset();
  leaves.join();
}

TEST_F(StepsTest, AFollowerThatDoesNotReadIsGivenUp) {
  Begin(2);
  auto follower = Dial(1);
  ASSERT_TRUE(follower.ok());
  StepPlan large{.step = 1, .sequences = {{.id = 1, .position = 0, .tokens = std::vector<int32_t>(200'000, 1), .blocks = {0}}}};
  absl::Status status = absl::OkStatus();
  for (int i = 0; i < 2000 && status.ok(); ++i) status = leader_->Send(large);
  EXPECT_THAT(Message(status), HasSubstr("rank 1 does not read its steps"));
}

TEST_F(StepsTest, CancelLetsTheFollowerGo) {
  Begin(2);
  auto follower = Dial(1);
  ASSERT_TRUE(follower.ok());
  std::thread canceller([&] { (*follower)->Cancel(); });
  EXPECT_FALSE((*follower)->Next(kBounds).ok());
  canceller.join();
}

TEST_F(StepsTest, APortInUseIsAnError) {
  EXPECT_THAT(Message(StepsService::Listen(Cat("127.0.0.1:", leader_->port())).status()), HasSubstr("cannot listen for steps on 127.0.0.1:"));
}

}  // namespace
}  // namespace drover
