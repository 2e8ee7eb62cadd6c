// The life of groups as stories: each line is one event at one second, the expectation is what the coordinator says and thinks.
#include "coordinator/membership.h"

#include <gtest/gtest.h>

#include <sstream>

namespace drover {
namespace {

using std::chrono::milliseconds;

struct Story {
  const char* name;
  std::vector<std::string> events;    // "AT VERB ARGUMENTS"
  std::vector<std::string> expected;  // one line per thing sent, lost or ready, in order
  const char* end;                    // state of group g
};

// Words: join STREAM RANK/RANKS LAUNCH, loaded STREAM, warm STREAM, beat STREAM [running], drain STREAM, fail STREAM,
// leave STREAM, tick.
// A trailing "@EPOCH" speaks in another epoch.
class Teller {
 public:
  Teller() : members_({}, [this](const std::vector<Hello>& hellos) { return Plan(hellos); }, Epoch{1}) {}

  void Tell(const std::string& event) {
    std::istringstream words(event);
    double at = 0;
    std::string verb;
    words >> at >> verb;
    const TimePoint now = TimePoint{} + std::chrono::hours(1) + milliseconds(static_cast<int64_t>(at * 1000));
    if (verb == "tick") return Write(members_.Tick(now));
    uint64_t stream = 0;
    words >> stream;
    if (verb == "join") return Join(StreamId{stream}, words, now);
    if (verb == "leave") return Write(members_.Leave(StreamId{stream}, now));
    RankMessage message{.epoch = members_.Find("g") == nullptr ? Epoch{0} : members_.Find("g")->epoch};
    std::string argument;
    words >> argument;
    if (argument.starts_with("@")) message.epoch = Epoch{std::stoull(argument.substr(1))};
    if (verb == "loaded") message.body = Loaded{1};
    if (verb == "progress") message.body = LoadProgress{std::stoll(argument), 100};
    if (verb == "warm") message.body = WarmedUp{1};
    if (verb == "beat") message.body = Heartbeat{.running = argument == "busy"};
    if (verb == "drain") message.body = Draining{};
    if (verb == "fail") message.body = RankFailure{"out of memory", "all-reduce"};
    Write(members_.Hear(StreamId{stream}, message, now));
  }

  std::vector<std::string> lines;
  bool fits = true;
  const Membership& members() const { return members_; }

 private:
  absl::StatusOr<GroupPlan> Plan(const std::vector<Hello>& hellos) const {
    if (!fits) return ResourceExhausted("it does not fit");
    GroupPlan plan{.fingerprint = "f", .step_timeout_ms = 20'000};
    for (const Hello& hello : hellos) plan.rank_bytes.push_back({.weights = hello.rank});
    return plan;
  }

  void Join(StreamId stream, std::istringstream& words, TimePoint now) {
    Hello hello{.group = "g", .host = "h", .steps_address = "a"};
    char slash = 0;
    words >> hello.rank >> slash >> hello.ranks >> hello.launch;
    Write(members_.Join(stream, hello, now));
  }

  void Write(const absl::StatusOr<Effects>& effects) {
    if (!effects.ok()) return lines.push_back("refused: " + Message(effects.status()));
    for (const Outgoing& out : effects->orders) lines.push_back(Line(out));
    for (const LostEpoch& lost : effects->lost) lines.push_back(Cat(lost.drained ? "drained " : "lost ", lost.group, " ", Value(lost.epoch), ": ", lost.reason));
    for (const std::string& name : effects->ready) lines.push_back("ready " + name);
  }

  static std::string Line(const Outgoing& out) {
    const std::string to = Cat("to ", Value(out.to), " in ", Value(out.message.epoch));
    if (const auto* order = std::get_if<AssignOrder>(&out.message.body))
      return Cat(to, ": assign rank ", order->rank, " of ", order->steps_nonce, ", own bytes ", order->plan.rank_bytes.size(), "x",
                 order->plan.rank_bytes.front().weights);
    if (std::holds_alternative<DrainOrder>(out.message.body)) return to + ": drain";
    return Cat(to, ": abort", out.last ? " and close" : "");
  }

  Membership members_;
};

class MembershipStory : public testing::TestWithParam<Story> {};

TEST_P(MembershipStory, IsToldAsExpected) {
  Teller teller;
  for (const std::string& event : GetParam().events) teller.Tell(event);
  EXPECT_EQ(teller.lines, GetParam().expected);
  const Group* group = teller.members().Find("g");
  EXPECT_EQ(group == nullptr ? "none" : Name(group->state), GetParam().end);
}

const std::vector<std::string> kReadyTwo = {"0 join 1 0/2 L", "0 join 2 1/2 L", "1 loaded 1", "1 loaded 2", "2 warm 1"};
const std::vector<std::string> kReadyTwoSaid = {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0", "to 2 in 1: assign rank 1 of L-1, own bytes 1x1", "ready g"};

std::vector<std::string> Then(std::vector<std::string> first, const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

INSTANTIATE_TEST_SUITE_P(All, MembershipStory, testing::Values(
    Story{"AnIncompleteGroupWaits", {"0 join 1 0/2 L"}, {}, "registered"},
    Story{"ACompleteGroupIsAssignedEachRankItsOwnBytes", {"0 join 2 1/2 L", "0 join 1 0/2 L"},
          {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0", "to 2 in 1: assign rank 1 of L-1, own bytes 1x1"}, "loading"},
    Story{"AllLoadedMeansWarming", {"0 join 1 0/1 L", "1 loaded 1"}, {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0"}, "warming"},
    Story{"AStepAcrossEveryRankMeansReady", kReadyTwo, kReadyTwoSaid, "ready"},
    Story{"OnlyTheLeaderCanSayReady", {"0 join 1 0/2 L", "0 join 2 1/2 L", "1 loaded 1", "1 loaded 2", "2 warm 2"},
          {kReadyTwoSaid[0], kReadyTwoSaid[1]}, "warming"},
    Story{"ARankThatLeavesEndsTheEpochAtOnce", Then(kReadyTwo, {"3 leave 2"}),
          Then(kReadyTwoSaid, {"to 1 in 1: abort and close", "lost g 1: rank 1 on h left"}), "lost"},
    Story{"ARankThatFailsEndsTheEpochAtOnce", Then(kReadyTwo, {"3 fail 1"}),
          Then(kReadyTwoSaid, {"to 1 in 1: abort and close", "to 2 in 1: abort and close", "lost g 1: rank 0 on h failed in all-reduce: out of memory"}), "lost"},
    Story{"ARankThatLeavesBeforeThePlanEndsTheLaunch", {"0 join 1 0/2 L", "1 leave 1"}, {"lost g 0: rank 0 on h left"}, "lost"},
    Story{"OneRankThatDrainsDrainsItsGroup", Then(kReadyTwo, {"3 drain 2", "3 drain 1"}), Then(kReadyTwoSaid, {"to 1 in 1: drain"}), "draining"},
    Story{"ADrainedGroupLeavesInAnyOrder", Then(kReadyTwo, {"3 drain 1", "4 leave 2", "4 leave 1"}),
          Then(kReadyTwoSaid, {"to 2 in 1: drain", "drained g 1: the group has left"}), "lost"},
    Story{"TheLeadersEndIsThatOfADrainingGroup", Then(kReadyTwo, {"3 drain 1", "4 leave 1", "4 leave 2"}),
          Then(kReadyTwoSaid, {"to 2 in 1: drain", "drained g 1: the group has left"}), "lost"},
    Story{"ADrainingGroupMayStillFail", Then(kReadyTwo, {"3 drain 1", "4 fail 2"}),
          Then(kReadyTwoSaid, {"to 2 in 1: drain", "to 1 in 1: abort and close", "to 2 in 1: abort and close", "lost g 1: rank 1 on h failed in all-reduce: out of memory"}), "lost"},
    Story{"FiveSecondsOfSilenceAreNotTheEnd", Then(kReadyTwo, {"7 beat 1", "7.5 tick"}), kReadyTwoSaid, "ready"},
    Story{"TenSecondsOfSilenceAreTheEnd", Then(kReadyTwo, {"10 beat 1", "11 tick"}),
          Then(kReadyTwoSaid, {"to 1 in 1: abort and close", "to 2 in 1: abort and close", "lost g 1: rank 1 on h was silent for 10000 ms"}), "lost"},
    Story{"AStaleEpochIsIgnored", {"0 join 1 0/1 L", "1 loaded 1 @7", "1 warm 1 @7"}, {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0"}, "loading"},
    Story{"AnEndedLaunchCannotComeBack", {"0 join 1 0/2 L", "1 leave 1", "2 join 3 0/2 L"},
          {"lost g 0: rank 0 on h left", "refused: launch L of group g has ended; start the group again"}, "lost"},
    Story{"ANewLaunchOfALostGroupGetsANewEpoch", {"0 join 1 0/1 L", "1 leave 1", "2 join 2 0/1 M"},
          {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0", "lost g 1: rank 0 on h left", "to 2 in 2: assign rank 0 of M-2, own bytes 1x0"}, "loading"},
    Story{"ASecondLaunchOfALivingGroupIsRefused", {"0 join 1 0/1 L", "1 join 2 0/1 M"},
          {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0", "refused: group g is served by launch L, found launch M"}, "loading"},
    Story{"ARankCannotJoinTwice", {"0 join 1 0/2 L", "0 join 2 0/2 L"}, {"refused: rank 0 of group g has already joined"}, "registered"},
    Story{"RanksMustAgreeOnTheirNumber", {"0 join 1 0/2 L", "0 join 2 1/3 L"}, {"refused: hello.ranks: found 3, expected 2 as the other ranks say"}, "registered"},
    Story{"ARankBeyondTheGroupIsRefused", {"0 join 1 2/2 L"}, {"refused: hello.rank: found 2, expected 0 to 1"}, "none"},
    Story{"AMessageBeforeHelloIsRefused", {"0 beat 9"}, {"refused: found a message before hello"}, "none"},
    Story{"WhatARankSaysBeforeItKnowsOfTheEndIsNotHeard", Then(kReadyTwo, {"3 leave 2", "3 beat 1", "3 leave 1", "3 beat 1"}),
          Then(kReadyTwoSaid, {"to 1 in 1: abort and close", "lost g 1: rank 1 on h left", "refused: found a message before hello"}), "lost"},
    Story{"AGroupThatNeverCompletesIsGivenUp", {"0 join 1 0/2 L", "60 beat 1", "119 beat 1", "120 tick"},
          {"to 1 in 0: abort and close", "lost g 0: only 1 of 2 ranks have joined within 120000 ms"}, "lost"},
    Story{"WorkWithoutStepsIsAStuckGroup", {"0 join 1 0/1 L", "1 loaded 1", "2 warm 1", "3 beat 1 busy", "12 beat 1 busy", "21 beat 1 busy", "30 beat 1 busy", "34 beat 1 busy", "34 tick"},
          {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0", "ready g", "to 1 in 1: abort and close", "lost g 1: requests are waiting but no step ended for 31000 ms"}, "lost"},
    Story{"LoadingMayTakeLongWhileItMoves", {"0 join 1 0/1 L", "9 progress 1 10", "18 beat 1", "27 progress 1 20", "36 tick"},
          {"to 1 in 1: assign rank 0 of L-1, own bytes 1x0"}, "loading"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Membership, APlanThatDoesNotFitEndsTheLaunchWithTheReason) {
  Teller teller;
  teller.fits = false;
  teller.Tell("0 join 1 0/1 L");
  EXPECT_EQ(teller.lines, (std::vector<std::string>{"to 1 in 0: abort and close", "lost g 0: it does not fit"}));
}

TEST(Membership, ASilentRankMakesItsGroupSuspectUntilItSpeaks) {
  Teller teller;
  for (const std::string& event : kReadyTwo) teller.Tell(event);
  teller.Tell("6.5 tick");
  EXPECT_TRUE(teller.members().Find("g")->suspect);
  teller.Tell("6.6 beat 1");
  teller.Tell("6.6 beat 2");
  teller.Tell("6.7 tick");
  EXPECT_FALSE(teller.members().Find("g")->suspect);
}

TEST(Membership, OnlyTheLeaderSpeaksForItsEpoch) {
  Teller teller;
  for (const std::string& event : kReadyTwo) teller.Tell(event);
  EXPECT_NE(teller.members().LedBy(StreamId{1}, Epoch{1}), nullptr);
  EXPECT_EQ(teller.members().LedBy(StreamId{2}, Epoch{1}), nullptr);
  EXPECT_EQ(teller.members().LedBy(StreamId{1}, Epoch{2}), nullptr);
}

// Two ranks of one launch join, the leader with bytes to meet by; what each rank's assignment says of them.
std::vector<std::string> MeetingsAssigned(Membership& members, const std::string& launch, const std::string& meeting, uint64_t stream) {
  const TimePoint now = TimePoint{} + std::chrono::hours(1);
  Hello hello{.group = "g", .launch = launch, .rank = 1, .ranks = 2, .steps_address = "a"};
  EXPECT_TRUE(members.Join(StreamId{stream}, hello, now).ok());
  hello.rank = 0;
  hello.meeting = meeting;
  const absl::StatusOr<Effects> effects = members.Join(StreamId{stream + 1}, hello, now);
  EXPECT_TRUE(effects.ok()) << effects.status();
  std::vector<std::string> found;
  for (const Outgoing& out : effects->orders) found.push_back(std::get<AssignOrder>(out.message.body).meeting);
  return found;
}

TEST(Membership, RanksMeetByWhatTheirOwnLeaderGaveInThisEpoch) {
  const std::vector<std::string> none = {"", ""}, first = {"first", "first"}, second = {"second", "second"};
  Membership members({}, [](const std::vector<Hello>&) { return GroupPlan{}; }, Epoch{1});
  EXPECT_EQ(MeetingsAssigned(members, "L", "first", 1), first);
  members.Leave(StreamId{1}, TimePoint{} + std::chrono::hours(1));
  EXPECT_EQ(MeetingsAssigned(members, "M", "second", 3), second);
  members.Leave(StreamId{3}, TimePoint{} + std::chrono::hours(1));
  EXPECT_EQ(MeetingsAssigned(members, "N", "", 5), none);
}

TEST(Membership, OnlyALeaderSaysHowToMeetAndNotAtLength) {
  Membership members({}, [](const std::vector<Hello>&) { return GroupPlan{}; }, Epoch{1});
  Hello hello{.group = "g", .launch = "L", .ranks = 2, .steps_address = "a", .meeting = std::string(1025, 'x')};
  EXPECT_EQ(Message(members.Join(StreamId{1}, hello, TimePoint{}).status()),
            "hello.meeting: found 1025 bytes, expected at most 1024 of rank 0");
  hello.meeting.pop_back();
  EXPECT_TRUE(members.Join(StreamId{1}, hello, TimePoint{}).ok());
  hello.rank = 1;
  EXPECT_EQ(Message(members.Join(StreamId{2}, hello, TimePoint{}).status()),
            "hello.meeting: found 1024 bytes, expected at most 0 of rank 1");
}

// The plan of a restarted coordinator carries the fingerprint that the ranks have loaded: they answer at once, nothing is read.
TEST(Membership, LoadedRanksAreAdoptedUnderANewEpoch) {
  Membership restarted({}, [](const std::vector<Hello>&) { return GroupPlan{.fingerprint = "f", .rank_bytes = {{}}}; }, Epoch{100});
  const TimePoint now = TimePoint{} + std::chrono::hours(1);
  const Hello hello{.group = "g", .launch = "L", .loaded_fingerprint = "f"};
  const absl::StatusOr<Effects> effects = restarted.Join(StreamId{1}, hello, now);
  ASSERT_TRUE(effects.ok());
  ASSERT_EQ(effects->orders.size(), 1u);
  EXPECT_EQ(effects->orders[0].message.epoch, Epoch{100});
  EXPECT_EQ(std::get<AssignOrder>(effects->orders[0].message.body).plan.fingerprint, hello.loaded_fingerprint);
  ASSERT_TRUE(restarted.Hear(StreamId{1}, {Epoch{100}, Loaded{}}, now).ok());
  ASSERT_TRUE(restarted.Hear(StreamId{1}, {Epoch{100}, WarmedUp{}}, now).ok());
  EXPECT_EQ(restarted.Find("g")->state, GroupState::kReady);
}

}  // namespace
}  // namespace drover
