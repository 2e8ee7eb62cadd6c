// One request's journey with a fake clock: every accepted request ends exactly once, whatever happens to its group.
#include "coordinator/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/coordinator/toy_text.h"

namespace drover {
namespace {

using testing::ToyText;
using std::chrono::seconds;

class Dispatch : public ::testing::Test {
 protected:
  struct Heard {
    std::string text;
    int ends = 0;
    FinishReason finish = FinishReason::kNone;
    absl::Status error;
    int64_t tokens = 0;
    std::string stop_reason;
  };

  Dispatch() : metrics_("toy"), dispatcher_({.waiting_max = 2, .lookahead = 0}, text_, metrics_, [this](const std::string& group, Epoch epoch, Order order) {
                 const auto* request = std::get_if<Request>(&order);
                 const RequestId id = request != nullptr ? request->id : std::get<CancelOrder>(order).id;
                 sent_.push_back(Cat(request != nullptr ? "submit " : "cancel ", Value(id), " to ", group, "/", Value(epoch)));
               }) {}

  void Submit(uint64_t id, std::vector<std::string> stop = {}, int64_t min_tokens = 0) {
    Submission submission;
    submission.request = {.id = RequestId{id}, .prompt = {1, 2}, .max_tokens = 100};
    submission.rules = {.stop = std::move(stop), .end_ids = {testing::kToyEnd}, .eos_ids = {testing::kToyEnd}, .min_tokens = min_tokens};
    submission.stream = *text_.NewStream(true);
    submission.arrived = now_;
    submission.deadline = now_ + seconds(60);
    submission.deliver = [this, id](Piece piece) {
      Heard& heard = heard_[id];
      EXPECT_EQ(heard.ends, 0) << "a piece after the end of request " << id;
      heard.text += piece.text;
      heard.tokens = piece.usage.completion_tokens;
      if (piece.finish == FinishReason::kNone) return;
      ++heard.ends;
      heard.finish = piece.finish;
      heard.error = piece.error;
      heard.stop_reason = piece.stop_reason;
    };
    dispatcher_.Submit(std::move(submission), now_);
  }

  void Tokens(uint64_t id, const std::string& bytes, int64_t position = 0, FinishReason finish = FinishReason::kNone) {
    std::vector<TokenEvent> events;
    for (const char c : bytes) events.push_back({.id = RequestId{id}, .position = position++, .token = static_cast<unsigned char>(c)});
    if (!events.empty()) events.back().finish = finish;
    dispatcher_.OnTokens("g", Epoch{1}, std::move(events), now_);
  }

  ToyText text_;
  Metrics metrics_;
  std::vector<std::string> sent_;
  std::map<uint64_t, Heard> heard_;
  TimePoint now_ = TimePoint{} + std::chrono::hours(1);
  Dispatcher dispatcher_;
};

TEST_F(Dispatch, WithoutAGroupARequestIsRefusedAtOnce) {
  Submit(1);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(dispatcher_.in_flight(), 0);
}

TEST_F(Dispatch, TokensBecomeTextAndTheEndEndsOnce) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Tokens(1, "hey", 0, FinishReason::kLength);
  EXPECT_EQ(sent_, std::vector<std::string>{"submit 1 to g/1"});
  EXPECT_EQ(heard_[1].text, "hey");
  EXPECT_EQ(heard_[1].tokens, 3);
  EXPECT_EQ(heard_[1].finish, FinishReason::kLength);
  Tokens(1, "x", 3);  // late news of an ended request
  EXPECT_EQ(heard_[1].ends, 1);
}

TEST_F(Dispatch, TheNextWaitsForASlotAndAFullQueueRefuses) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  for (uint64_t id = 1; id <= 4; ++id) Submit(id);
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_EQ(dispatcher_.waiting(), 2);
  EXPECT_EQ(heard_[4].error.code(), absl::StatusCode::kResourceExhausted);
  Tokens(1, "a", 0, FinishReason::kLength);
  EXPECT_EQ(sent_.back(), "submit 2 to g/1");
}

TEST_F(Dispatch, AStopStringCancelsAndOvershootIsNeitherSentNorCounted) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1, {"END"});
  Tokens(1, "abENDxyz");
  EXPECT_EQ(heard_[1].text, "ab");
  EXPECT_EQ(heard_[1].tokens, 5);
  EXPECT_EQ(heard_[1].stop_reason, "END");
  EXPECT_EQ(heard_[1].finish, FinishReason::kStop);
  EXPECT_EQ(sent_.back(), "cancel 1 to g/1");
}

TEST_F(Dispatch, ARepeatedTokenIsDroppedAndASkippedOneIsAnError) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Tokens(1, "ab");
  Tokens(1, "b", 1);
  EXPECT_EQ(heard_[1].text, "ab");
  Tokens(1, "d", 3);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kInternal);
}

TEST_F(Dispatch, TokensOfAnotherEpochAreIgnored) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  dispatcher_.OnTokens("g", Epoch{2}, {{.id = RequestId{1}, .token = 65}}, now_);
  dispatcher_.OnTokens("h", Epoch{1}, {{.id = RequestId{1}, .token = 65}}, now_);
  EXPECT_EQ(heard_[1].text, "");
}

TEST_F(Dispatch, WhatALeavingGroupDidNotTakeGoesToAnotherOnce) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 2, now_);
  Submit(1);
  dispatcher_.OnGroupReady("h", Epoch{2}, 2, now_);
  dispatcher_.SetPaused("g", true, now_);
  const TokenEvent refused = {.id = RequestId{1}, .finish = FinishReason::kError, .error = "the group is draining", .not_taken = true};
  dispatcher_.OnTokens("g", Epoch{1}, {refused}, now_);
  EXPECT_EQ(sent_.back(), "submit 1 to h/2");
  EXPECT_EQ(heard_[1].ends, 0);
  dispatcher_.OnTokens("h", Epoch{2}, {refused}, now_);
  EXPECT_EQ(heard_[1].ends, 1);
  EXPECT_EQ(heard_[1].error, Unavailable("the group is draining"));
}

TEST_F(Dispatch, WhatAClientHasHeardOfIsNotServedAgain) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  dispatcher_.OnGroupReady("h", Epoch{2}, 1, now_);
  Submit(1);
  ASSERT_EQ(sent_.back(), "submit 1 to g/1");
  dispatcher_.OnTokens("g", Epoch{1}, {{.id = RequestId{1}, .logits = {1, 2}}}, now_);  // of a prompt's first chunk
  dispatcher_.OnGroupLost("g", "rank 1 left", now_);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kUnavailable);
}

TEST_F(Dispatch, NoStopStringEndsAnAnswerBeforeItsLeastLength) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1, {"b"}, 4);
  Tokens(1, "abab");
  EXPECT_EQ(heard_[1].text, "aba");
  EXPECT_EQ(heard_[1].tokens, 4);
  EXPECT_EQ(heard_[1].finish, FinishReason::kStop);
}

TEST_F(Dispatch, ALostGroupFailsWhatHadBegunAndMovesWhatHadNot) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 2, now_);
  dispatcher_.OnGroupReady("h", Epoch{2}, 0, now_);
  Submit(1);
  Submit(2);
  Tokens(1, "a");
  dispatcher_.OnGroupReady("h", Epoch{2}, 4, now_);
  dispatcher_.OnGroupLost("g", "rank 1 left", now_);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(heard_[1].ends, 1);
  EXPECT_EQ(sent_.back(), "submit 2 to h/2");
  dispatcher_.OnGroupLost("h", "rank 0 left", now_);  // moved once already
  EXPECT_EQ(heard_[2].error.code(), absl::StatusCode::kUnavailable);
}

TEST_F(Dispatch, WaitingRequestsOutliveTheirGroupForAWhile) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Submit(2);
  dispatcher_.OnGroupLost("g", "gone", now_);
  now_ += seconds(9);
  dispatcher_.Tick(now_);
  EXPECT_EQ(heard_[2].ends, 0);
  now_ += seconds(1);
  dispatcher_.Tick(now_);
  EXPECT_EQ(heard_[1].ends, 1);
  EXPECT_EQ(heard_[2].error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(dispatcher_.in_flight(), 0);
}

TEST_F(Dispatch, WithoutAGroupADrainingServerHoldsNobody) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 0, now_);
  Submit(1);
  dispatcher_.OnGroupLost("g", "gone", now_);
  dispatcher_.StartDrain();
  dispatcher_.Tick(now_);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kUnavailable);
}

TEST_F(Dispatch, ADeadlineEndsWaitingAndRunningAlike) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Submit(2);
  now_ += seconds(60);
  dispatcher_.Tick(now_);
  for (const uint64_t id : {1, 2}) EXPECT_EQ(heard_[id].error.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(std::count_if(sent_.begin(), sent_.end(), [](const std::string& s) { return s.starts_with("cancel"); }), 1);
}

TEST_F(Dispatch, ACancelledRequestIsCancelledOnItsGroupAndFreesItsSlot) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Submit(2);
  dispatcher_.Cancel(RequestId{1}, Cancelled("left"), now_);
  EXPECT_EQ(heard_[1].finish, FinishReason::kCancelled);
  EXPECT_EQ(sent_, (std::vector<std::string>{"submit 1 to g/1", "cancel 1 to g/1", "submit 2 to g/1"}));
  dispatcher_.Cancel(RequestId{99}, Cancelled("left"), now_);  // never heard of
}

TEST_F(Dispatch, ASuspectGroupGetsNothingNew) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 4, now_);
  dispatcher_.SetPaused("g", true, now_);
  EXPECT_FALSE(dispatcher_.ready());
  Submit(1);
  EXPECT_EQ(heard_[1].error.code(), absl::StatusCode::kUnavailable);
  dispatcher_.SetPaused("g", false, now_);
  Submit(2);
  EXPECT_EQ(sent_.back(), "submit 2 to g/1");
}

TEST_F(Dispatch, DrainingFinishesOldWorkOnly) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 4, now_);
  Submit(1);
  dispatcher_.StartDrain();
  Submit(2);
  EXPECT_EQ(heard_[2].error.code(), absl::StatusCode::kUnavailable);
  Tokens(1, "a", 0, FinishReason::kLength);
  EXPECT_EQ(heard_[1].finish, FinishReason::kLength);
}

TEST_F(Dispatch, APartOfACharacterIsNeverSent) {
  dispatcher_.OnGroupReady("g", Epoch{1}, 1, now_);
  Submit(1);
  Tokens(1, "\xC3");
  EXPECT_EQ(heard_[1].text, "");
  Tokens(1, "\xA9", 1, FinishReason::kLength);
  EXPECT_EQ(heard_[1].text, "\xC3\xA9");
}

}  // namespace
}  // namespace drover
