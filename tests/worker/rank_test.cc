// Ranks in one process on a toy model, against a fake coordinator: epochs from hello to drain, abort, loss and re-adoption.
#include "worker/rank.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/fake_coordinator.h"
#include "tests/worker/toy_runner.h"

namespace drover {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// By what a rank was told to meet the others, in order; "again" where its weights were kept.
class Meetings {
 public:
  void Add(const std::string& meeting) {
    MutexLock lock(mutex_);
    all_.push_back(meeting);
  }
  std::vector<std::string> all() {
    MutexLock lock(mutex_);
    return all_;
  }

 private:
  Mutex mutex_;
  std::vector<std::string> all_ ABSL_GUARDED_BY(mutex_);
};

// One rank's share of the toy model: every rank runs every step, only rank 0 answers.
class ToyModel final : public RankModel {
 public:
  ToyModel(int64_t rank, std::atomic<int64_t>& steps, Meetings& meetings, std::function<absl::Status(const StepPlan&)> before)
      : rank_(rank), steps_(steps), meetings_(meetings) {
    toy_.before = std::move(before);
  }
  int64_t vocab() const override { return ToyRunner::kVocab; }
  int64_t weight_bytes() const override { return 1000; }
  absl::Status Rejoin(const std::string& meeting) override {
    meetings_.Add("again by " + meeting);
    return absl::OkStatus();
  }
  absl::StatusOr<StepLogits> Run(const StepPlan& plan, std::chrono::steady_clock::time_point, const Meanwhile& meanwhile) override {
    meanwhile();
    ++steps_;
    absl::StatusOr<StepLogits> logits = toy_.Run(plan);
    return !logits.ok() || rank_ == 0 ? std::move(logits) : StepLogits{};
  }

 private:
  const int64_t rank_;
  std::atomic<int64_t>& steps_;
  Meetings& meetings_;
  ToyRunner toy_;
};

// A group of ranks, each on its own thread.
class Group {
 public:
  struct Member {
    std::unique_ptr<Rank> rank;
    std::thread thread;
    std::atomic<int64_t> loads = 0, steps = 0;
    std::atomic<int> left_with = -1, result = -1;
    Meetings meetings;
  };
  using Before = std::function<absl::Status(int64_t rank, const StepPlan&)>;

  Group(int64_t ranks, const std::string& coordinator, std::chrono::milliseconds grace = std::chrono::seconds(20),
        Before before = [](int64_t, const StepPlan&) { return absl::OkStatus(); },
        std::chrono::milliseconds last_rank_loads = std::chrono::milliseconds(0),
        const std::function<absl::StatusOr<std::string>()>& make_meeting = {}) {
    for (int64_t r = 0; r < ranks; ++r) {
      Member& member = *members.emplace_back(std::make_unique<Member>());
      RankSettings settings{.hello = {.group = "g", .launch = "L", .rank = r, .ranks = ranks, .host = "here", .version = "test"},
                            .make_meeting = make_meeting,
                            .coordinator = coordinator,
                            .orphan_grace = grace};
      const auto load_time = r + 1 == ranks ? last_rank_loads : std::chrono::milliseconds(0);
      const auto load = [&member, r, before, load_time](const GroupPlan&, const std::string& meeting,
                                                const LoadProgressSink& progress) -> absl::StatusOr<std::unique_ptr<RankModel>> {
        ++member.loads;
        member.meetings.Add("first by " + meeting);
        progress(500, 1000);
        std::this_thread::sleep_for(load_time);
        return std::make_unique<ToyModel>(r, member.steps, member.meetings, [r, before](const StepPlan& plan) { return before(r, plan); });
      };
      member.rank = std::make_unique<Rank>(std::move(settings), load, [&member](int code) { member.left_with = code; });
      member.thread = std::thread([&member] { member.result = member.rank->Run(); });
    }
  }
  ~Group() {
    for (auto& member : members) member->rank->Drain();
    Join();
  }
  void Join() {
    for (auto& member : members)
      if (member->thread.joinable()) member->thread.join();
  }

  std::vector<std::unique_ptr<Member>> members;
};

v1::CoordinatorMessage AssignmentOf(uint64_t epoch, int32_t ranks, const v1::Hello& leader) {
  v1::CoordinatorMessage message;
  message.set_epoch(epoch);
  message.mutable_assignment()->set_steps_address(leader.steps_address());
  message.mutable_assignment()->set_meeting(leader.meeting());
  message.mutable_assignment()->set_steps_nonce("nonce-" + std::to_string(epoch));
  v1::Plan& plan = *message.mutable_assignment()->mutable_plan();
  plan.set_model("toy");
  plan.set_model_path("toy");
  plan.set_fingerprint("print");
  plan.set_ranks(ranks);
  plan.set_expert(1);
  plan.set_block_tokens(ToyRunner::kBlockTokens);
  plan.set_kv_blocks(64);
  plan.set_max_step_tokens(16);
  plan.set_max_sequences(4);
  plan.set_max_model_len(64);
  plan.set_threads(1);
  plan.set_step_timeout_ms(10'000);
  return message;
}

bool IsHello(const v1::WorkerMessage& message) { return message.has_hello(); }
bool IsReady(const v1::WorkerMessage& message) { return message.has_ready(); }

// Waits for the hellos, assigns the epoch and waits until the group is ready.
bool BringUp(FakeCoordinator& coordinator, uint64_t epoch, int32_t ranks) {
  for (int r = 0; r < ranks; ++r)
    if (!coordinator.WaitFor(r, IsHello)) return false;
  coordinator.SendAll(AssignmentOf(epoch, ranks, coordinator.Heard(0).front().hello()));
  return coordinator.WaitFor(0, IsReady);
}

v1::CoordinatorMessage SubmitOf(uint64_t epoch, uint64_t id, const std::vector<int32_t>& prompt, int64_t max_tokens) {
  v1::CoordinatorMessage message;
  message.set_epoch(epoch);
  v1::Submit& submit = *message.mutable_submit();
  submit.set_request_id(id);
  submit.mutable_prompt()->Add(prompt.begin(), prompt.end());
  submit.set_top_p(1);
  submit.set_repetition_penalty(1);
  submit.set_logprobs(-1);
  submit.set_max_tokens(max_tokens);
  return message;
}

auto EndOf(uint64_t id) {
  return [id](const v1::WorkerMessage& message) {
    for (const v1::TokenNews& news : message.tokens().news())
      if (news.request_id() == id && news.finish() != 0) return true;
    return false;
  };
}

std::vector<int32_t> TokensOf(const std::vector<v1::WorkerMessage>& heard, uint64_t id) {
  std::vector<int32_t> tokens;
  for (const v1::WorkerMessage& message : heard)
    for (const v1::TokenNews& news : message.tokens().news())
      if (news.request_id() == id && news.has_token()) tokens.push_back(news.token());
  return tokens;
}

std::string ErrorOf(const std::vector<v1::WorkerMessage>& heard, uint64_t id) {
  for (const v1::WorkerMessage& message : heard)
    for (const v1::TokenNews& news : message.tokens().news())
      if (news.request_id() == id && !news.error().empty()) return news.error();
  return "";
}

std::vector<int32_t> Expected(std::vector<int32_t> history, size_t count) {
  std::vector<int32_t> tokens;
  while (tokens.size() < count) {
    const std::vector<float> row = ToyRunner::Row(history);
    tokens.push_back(static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
    history.push_back(tokens.back());
  }
  return tokens;
}

v1::CoordinatorMessage DrainOf(uint64_t epoch) {
  v1::CoordinatorMessage message;
  message.set_epoch(epoch);
  message.mutable_drain();
  return message;
}

TEST(RankTest, ThreeRanksServeAndDrain) {
  FakeCoordinator coordinator;
  Group group(3, coordinator.address());
  ASSERT_TRUE(BringUp(coordinator, 7, 3));
  coordinator.Send(0, SubmitOf(7, 1, {3, 4, 5}, 6));
  ASSERT_TRUE(coordinator.WaitFor(0, EndOf(1)));
  EXPECT_EQ(TokensOf(coordinator.Heard(0), 1), Expected({3, 4, 5}, 6));
  for (int r = 0; r < 3; ++r) {
    EXPECT_TRUE(coordinator.WaitFor(r, [](const v1::WorkerMessage& m) { return m.has_loaded() && m.loaded().weight_bytes() == 1000; }));
    EXPECT_TRUE(coordinator.WaitFor(r, [](const v1::WorkerMessage& m) {
      return m.has_heartbeat() && m.epoch() == 7 && m.heartbeat().steps_done() >= 6 && m.heartbeat().resident_bytes() > 0;
    }));
  }
  coordinator.SendAll(DrainOf(7));
  group.Join();
  for (const auto& member : group.members) {
    EXPECT_EQ(member->result, 0);
    EXPECT_EQ(member->steps, 7);  // the first step and six tokens, on every rank
    EXPECT_EQ(member->loads, 1);
  }
}

TEST(RankTest, AGroupOfOneNeedsNoSteps) {
  FakeCoordinator coordinator;
  Group group(1, coordinator.address());
  ASSERT_TRUE(BringUp(coordinator, 1, 1));
  EXPECT_EQ(coordinator.Heard(0).front().hello().steps_address(), "");
  coordinator.Send(0, SubmitOf(1, 9, {1}, 3));
  ASSERT_TRUE(coordinator.WaitFor(0, EndOf(9)));
  EXPECT_EQ(TokensOf(coordinator.Heard(0), 9), Expected({1}, 3));
}

TEST(RankTest, LoadedRanksAreReadoptedByANewCoordinator) {
  auto first = std::make_unique<FakeCoordinator>();
  Group group(2, first->address());
  ASSERT_TRUE(BringUp(*first, 1, 2));
  first->Send(0, SubmitOf(1, 1, {3, 4}, 4));
  ASSERT_TRUE(first->WaitFor(0, EndOf(1)));
  const int port = first->port();
  first.reset();
  FakeCoordinator second(port);
  ASSERT_TRUE(BringUp(second, 1, 2));  // a new coordinator may count from 1 again
  EXPECT_EQ(second.Heard(0).front().hello().loaded_fingerprint(), "print");
  EXPECT_EQ(second.Heard(1).front().hello().loaded_fingerprint(), "print");
  second.Send(0, SubmitOf(1, 2, {5, 6}, 4));
  ASSERT_TRUE(second.WaitFor(0, EndOf(2)));
  EXPECT_EQ(TokensOf(second.Heard(0), 2), Expected({5, 6}, 4));
  EXPECT_EQ(TokensOf(second.Heard(0), 1), std::vector<int32_t>());
  for (const auto& member : group.members) {
    EXPECT_EQ(member->loads, 1);
    EXPECT_EQ(member->left_with, -1);
  }
}

// The ids of an epoch die with it, though the weights stay.
TEST(RankTest, RanksMeetByNewBytesInEveryEpoch) {
  auto first = std::make_unique<FakeCoordinator>();
  std::atomic<int> made = 0;
  Group group(2, first->address(), std::chrono::seconds(20), [](int64_t, const StepPlan&) { return absl::OkStatus(); }, {},
              [&made]() -> absl::StatusOr<std::string> { return Cat("id ", ++made); });
  ASSERT_TRUE(BringUp(*first, 1, 2));
  EXPECT_EQ(first->Heard(0).front().hello().meeting(), "id 1");
  EXPECT_EQ(first->Heard(1).front().hello().meeting(), "");
  const int port = first->port();
  first.reset();
  FakeCoordinator second(port);
  ASSERT_TRUE(BringUp(second, 2, 2));
  const std::string again = second.Heard(0).front().hello().meeting();
  EXPECT_NE(again, "id 1");
  for (const auto& member : group.members) EXPECT_THAT(member->meetings.all(), ElementsAre("first by id 1", "again by " + again));
}

TEST(RankTest, BytesToMeetByThatWereNeverSentServeTheNextHello) {
  std::atomic<int> made = 0;
  Group group(1, "127.0.0.1:1", std::chrono::milliseconds(1300), [](int64_t, const StepPlan&) { return absl::OkStatus(); }, {},
              [&made]() -> absl::StatusOr<std::string> { return Cat("id ", ++made); });
  group.Join();
  EXPECT_EQ(made, 1);
}

TEST(RankTest, ARankThatCannotSayHowToMeetLeaves) {
  const absl::StatusOr<std::string> answers[] = {std::string(1025, 'x'), Unavailable("no network")};
  for (const auto& answer : answers) {
    FakeCoordinator coordinator;
    Group group(1, coordinator.address(), std::chrono::seconds(20), [](int64_t, const StepPlan&) { return absl::OkStatus(); }, {},
                [&answer] { return answer; });
    group.Join();
    EXPECT_EQ(group.members[0]->result, kExitLeftEpoch);
    EXPECT_TRUE(coordinator.Heard(0).empty());
  }
}

// The grace does not count while a rank loads, and a follower that comes late joins again instead of dialling its leader.
TEST(RankTest, ACoordinatorLostInMidLoadIsJoinedAgainWhenTheLoadIsDone) {
  auto first = std::make_unique<FakeCoordinator>();
  Group group(2, first->address(), std::chrono::seconds(2), [](int64_t, const StepPlan&) { return absl::OkStatus(); },
              std::chrono::seconds(4));
  for (int r = 0; r < 2; ++r) ASSERT_TRUE(first->WaitFor(r, IsHello));
  first->SendAll(AssignmentOf(1, 2, first->Heard(0).front().hello()));
  ASSERT_TRUE(first->WaitFor(1, [](const v1::WorkerMessage& m) { return m.has_progress(); }));
  const int port = first->port();
  first.reset();
  FakeCoordinator second(port);
  ASSERT_TRUE(BringUp(second, 2, 2));
  for (const auto& member : group.members) {
    EXPECT_EQ(member->loads, 1);
    EXPECT_EQ(member->left_with, -1);
  }
}

TEST(RankTest, LossInMidRequestDropsTheRequestAndRejoins) {
  auto first = std::make_unique<FakeCoordinator>();
  std::atomic<bool> slow = true;
  Group group(2, first->address(), std::chrono::seconds(20), [&slow](int64_t, const StepPlan&) {
    if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return absl::OkStatus();
  });
  ASSERT_TRUE(BringUp(*first, 4, 2));
  first->Send(0, SubmitOf(4, 1, {3, 4}, 60));
  ASSERT_TRUE(first->WaitFor(0, [](const v1::WorkerMessage& m) { return m.has_tokens(); }, 2));
  const int port = first->port();
  first.reset();
  slow = false;
  FakeCoordinator second(port);
  ASSERT_TRUE(BringUp(second, 5, 2));
  second.Send(0, SubmitOf(5, 2, {5, 6}, 4));
  ASSERT_TRUE(second.WaitFor(0, EndOf(2)));
  EXPECT_EQ(TokensOf(second.Heard(0), 2), Expected({5, 6}, 4));
  EXPECT_TRUE(TokensOf(second.Heard(0), 1).empty());
}

TEST(RankTest, AbortLeavesAtOnce) {
  FakeCoordinator coordinator;
  Group group(2, coordinator.address());
  ASSERT_TRUE(BringUp(coordinator, 3, 2));
  v1::CoordinatorMessage abort;
  abort.set_epoch(2);
  abort.mutable_abort()->set_reason("stale");
  coordinator.SendAll(abort);  // of an older epoch: refused
  coordinator.Send(0, SubmitOf(3, 1, {3}, 1));
  ASSERT_TRUE(coordinator.WaitFor(0, EndOf(1)));
  EXPECT_EQ(group.members[0]->left_with, -1);
  abort.set_epoch(3);
  coordinator.SendAll(abort);
  group.Join();
  for (const auto& member : group.members) {
    EXPECT_EQ(member->left_with, kExitLeftEpoch);
    EXPECT_EQ(member->result, kExitLeftEpoch);
  }
}

TEST(RankTest, OrphansLeaveAfterTheirGrace) {
  auto coordinator = std::make_unique<FakeCoordinator>();
  Group group(2, coordinator->address(), std::chrono::seconds(3));
  ASSERT_TRUE(BringUp(*coordinator, 1, 2));
  coordinator.reset();
  group.Join();
  for (const auto& member : group.members) EXPECT_EQ(member->left_with, kExitLeftEpoch);
}

TEST(RankTest, ARankWithoutAnyCoordinatorLeaves) {
  Group group(1, "127.0.0.1:1", std::chrono::milliseconds(300));
  group.Join();
  EXPECT_EQ(group.members[0]->left_with, kExitLeftEpoch);
}

TEST(RankTest, AFailedStepIsReportedAndEndsTheEpoch) {
  FakeCoordinator coordinator;
  Group group(2, coordinator.address(), std::chrono::seconds(20), [](int64_t rank, const StepPlan& plan) {
    return rank == 1 && plan.step == 2 ? DataLoss("a weight turned to dust") : absl::OkStatus();
  });
  ASSERT_TRUE(BringUp(coordinator, 1, 2));
  coordinator.Send(0, SubmitOf(1, 1, {3, 4}, 50));
  EXPECT_TRUE(coordinator.WaitFor(1, [](const v1::WorkerMessage& m) {
    return m.has_failure() && m.failure().operation() == "step" && m.failure().message() == "a weight turned to dust";
  }));
  EXPECT_TRUE(coordinator.WaitFor(0, [](const v1::WorkerMessage& m) { return m.has_failure(); }));
  group.Join();
  for (const auto& member : group.members) EXPECT_EQ(member->left_with, kExitLeftEpoch);
}

TEST(RankTest, AFailedStepOfADrainingFollowerIsNoSuccess) {
  FakeCoordinator coordinator;
  std::atomic<bool> fails = false;
  Group group(2, coordinator.address(), std::chrono::seconds(20), [&fails](int64_t rank, const StepPlan&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return rank == 1 && fails ? DataLoss("a weight turned to dust") : absl::OkStatus();
  });
  ASSERT_TRUE(BringUp(coordinator, 1, 2));
  coordinator.Send(0, SubmitOf(1, 1, {3, 4}, 60));
  ASSERT_TRUE(coordinator.WaitFor(0, [](const v1::WorkerMessage& m) { return m.has_tokens(); }));
  group.members[1]->rank->Drain();
  fails = true;
  group.Join();
  EXPECT_EQ(group.members[1]->result, kExitLeftEpoch);
}

TEST(RankTest, ARefusedRankLeaves) {
  FakeCoordinator coordinator;
  coordinator.RefuseWith({grpc::StatusCode::FAILED_PRECONDITION, "launch L has ended"});
  Group group(1, coordinator.address());
  group.Join();
  EXPECT_EQ(group.members[0]->left_with, kExitLeftEpoch);
}

TEST(RankTest, ABusyCoordinatorIsAskedAgain) {
  FakeCoordinator coordinator;
  coordinator.RefuseWith({grpc::StatusCode::ALREADY_EXISTS, "rank 0 has already joined"});
  Group group(1, coordinator.address());
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  coordinator.RefuseWith(grpc::Status::OK);
  EXPECT_TRUE(BringUp(coordinator, 1, 1));
}

TEST(RankTest, RequestsThatCannotRunAreAnswered) {
  FakeCoordinator coordinator;
  Group group(1, coordinator.address());
  ASSERT_TRUE(BringUp(coordinator, 5, 1));
  coordinator.Send(0, SubmitOf(4, 1, {3}, 1));    // of an older epoch
  coordinator.Send(0, SubmitOf(5, 2, {99}, 1));   // no such token
  coordinator.Send(0, SubmitOf(5, 3, {3}, -7));
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_TRUE(coordinator.WaitFor(0, EndOf(id)));
  EXPECT_EQ(ErrorOf(coordinator.Heard(0), 1), "the group does not serve epoch 4 now");
  EXPECT_EQ(ErrorOf(coordinator.Heard(0), 2), "prompt[0]: found token id 99, expected 0 to 49");
  EXPECT_THAT(ErrorOf(coordinator.Heard(0), 3), HasSubstr("max_tokens: found -7"));
}

TEST(RankTest, AnIdleRankUsesNoProcessorTime) {
  FakeCoordinator coordinator;
  Group group(2, coordinator.address());
  ASSERT_TRUE(BringUp(coordinator, 1, 2));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used, 0.15);  // of 1.5 s, for both ranks and the coordinator
}

}  // namespace
}  // namespace drover
