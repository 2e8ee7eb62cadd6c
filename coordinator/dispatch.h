// One request's journey: wait for a group, be submitted, turn tokens into text, end exactly once. Pure but for what it sends;
// every call takes the time. Lives on the coordinator's loop.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "coordinator/answer.h"
#include "coordinator/metrics.h"
#include "coordinator/rank_messages.h"
#include "coordinator/router.h"

namespace drover {

struct DispatchLimits {
  int64_t waiting_max = 256;
  int64_t lookahead = 4;                            // requests a leader holds beyond those it runs
  Duration hold_without_group = std::chrono::seconds(10);  // waiting requests, when the last group is gone
  int64_t resubmits_max = 1;                        // of a request whose group died before its first news, or did not take it
};

struct Submission {
  Request request;
  AnswerRules rules;
  std::unique_ptr<TextStream> stream;
  bool want_prompt = false;  // until it was sent
  TimePoint arrived{}, deadline{};
  Deliver deliver;
};

class Dispatcher {
 public:
  using Send = std::function<void(const std::string& group, Epoch epoch, Order order)>;
  Dispatcher(const DispatchLimits& limits, const TextCodec& codec, Metrics& metrics, Send send)
      : limits_(limits), codec_(codec), metrics_(metrics), send_(std::move(send)) {}

  // Either the request is under way, or `deliver` has already heard the error.
  void Submit(Submission submission, TimePoint now);
  // The client left: nothing more is delivered but the last piece. Unknown ids are ignored.
  void Cancel(RequestId id, const absl::Status& why, TimePoint now);
  void OnTokens(const std::string& group, Epoch epoch, std::vector<TokenEvent> events, TimePoint now);
  void OnGroupReady(const std::string& group, Epoch epoch, int64_t slots, TimePoint now);
  void OnGroupLost(const std::string& group, const std::string& reason, TimePoint now);
  void SetPaused(const std::string& group, bool paused, TimePoint now);
  void StartDrain() { draining_ = true; }
  void FailAll(const absl::Status& why, TimePoint now);
  void Tick(TimePoint now);

  bool ready() const { return !draining_ && any_ready(); }
  int64_t waiting() const { return static_cast<int64_t>(queue_.size()); }
  int64_t in_flight() const { return static_cast<int64_t>(flights_.size()); }

 private:
  struct Target {
    Epoch epoch{};
    int64_t slots = 0, in_flight = 0;
    bool paused = false;
  };
  struct Flight {
    Submission submission;
    Answer answer;
    std::string group;  // empty: waits
    int64_t resubmits = 0;
    bool heard = false;  // the client has had a piece
    TimePoint submitted{}, first_token{}, last_token{};
  };
  using Flights = std::map<RequestId, Flight>;

  bool any_ready() const;
  void Pump(TimePoint now);
  void End(Flights::iterator flight, Piece piece, TimePoint now);
  // Puts a request that its client has heard nothing of back in front of the queue; false when it had its chance.
  bool Resubmit(Flight& flight, RequestId id);
  void Fail(RequestId id, const absl::Status& why, FinishReason reason, TimePoint now);
  void HearToken(Flights::iterator flight, const TokenEvent& event, TimePoint now);

  const DispatchLimits limits_;
  const TextCodec& codec_;
  Metrics& metrics_;
  const Send send_;
  Flights flights_;
  std::deque<RequestId> queue_;
  std::map<std::string, Target> targets_;
  TimePoint no_group_since_{};
  bool draining_ = false;
};

}  // namespace drover
