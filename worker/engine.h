// Engine: the leader's owner thread. Requests in, batches of token events out; one step after the other in between.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <variant>
#include <vector>

#include "common/host_gaps.h"
#include "common/queue.h"
#include "worker/guides.h"
#include "worker/sampler.h"
#include "worker/scheduler.h"
#include "worker/step_runner.h"

namespace drover {

struct EngineSettings {
  SchedulerLimits limits;
  int64_t vocab = 0;          // ids of the model: prompts are checked against it
  bool draws = false;         // the runner may draw tokens itself
  int64_t inbox = 1024;       // requests that may wait for the next step boundary
};

struct EngineStats {
  uint64_t steps_done = 0;
  int64_t running = 0, waiting = 0, blocks_used = 0;
  int64_t prompt_tokens_done = 0, output_tokens_done = 0, preemptions = 0;
  HostGaps gaps;  // between steps of which one had work when the other ended
  bool operator==(const EngineStats&) const = default;
};

// Called by the engine's thread with one step's events, in order; never empty. It must not block for long.
using EventSink = std::function<void(const std::vector<TokenEvent>&)>;

class Engine {
 public:
  Engine(const EngineSettings& settings, StepRunner& runner, EventSink sink);

  // Any thread. kResourceExhausted: the inbox is full; kInvalidArgument: a field is out of range; kUnavailable: draining or
  // stopped. Later failures arrive as an event with finish kError. `grammar`: what the output must keep to; null: nothing.
  absl::Status Submit(Request request, std::unique_ptr<Grammar> grammar = nullptr);
  // Any thread. The request ends with finish kCancelled unless it ended before; kResourceExhausted when the inbox is full.
  absl::Status Cancel(RequestId id);
  // Any thread. No new requests; RunLoop returns OK when the last one ended.
  void Drain();
  // Any thread. RunLoop returns `kAborted` after the step under way; open requests get no further events.
  void Stop();
  // Any thread.
  EngineStats stats();

  // Runs steps on the calling thread until drained, stopped, or a step fails. A failed step ends every request with finish
  // kError; its error is returned. Idle, it waits on the inbox and uses no CPU.
  absl::Status RunLoop();

 private:
  struct Arrival {
    Request request;
    std::unique_ptr<Grammar> grammar;
  };
  using Letter = std::variant<std::monostate, Arrival, RequestId>;  // wake up, submit, cancel

  absl::Status Step();
  bool Idle() const;
  void TakeArrivals();
  void Arrive(Arrival arrival);
  void Leave(RequestId id);
  // The request is known no longer, nor is what was kept of it.
  void Forget(RequestId id);
  // Commits the step, and adds the events of its sequences in plan order.
  void Settle(const StepPlan& plan, const StepLogits& logits);
  // What a step gave of one sequence: its rows, or the token drawn from the only one, with its scores where the runner has any.
  struct Given {
    std::span<const float> rows;
    std::optional<int32_t> drawn = {};
    const RowScores* scores = nullptr;
  };
  // The same for one sequence; false: the event says nothing.
  bool Settle(const StepSequence& planned, const Given& given, TokenEvent& event);
  // The drawn token and what was asked for beside it.
  absl::Status TakeDrawn(const Request& request, const Given& given, TokenEvent& event) const;
  // What comes of the rows of a planned sequence; the sampled token, if one is due, is in event.token.
  absl::Status Score(const Sequence& sequence, const StepSequence& planned, std::span<const float> rows, TokenEvent& event);
  // Says of each sequence that will be sampled how to draw its token, where nothing but the token and its scores are needed of its row,
  // and its edits and scores are no more than a device takes.
  void PlanDraws(StepPlan& plan) const;
  absl::Status CheckLogits(const StepPlan& plan, const StepLogits& logits) const;
  void CopyLogits(TokenEvent& event, const Sequence& sequence, const StepSequence& planned, std::span<const float> rows) const;
  void ScorePrompt(const Sequence& sequence, const StepSequence& planned, std::span<const float> rows);
  // How the next token of a sequence is drawn; of a grammar, the mask's place.
  TokenDraw DrawOf(const Sequence& sequence) const;
  // What the host does while the step is under way: says what there is to say, and makes the masks of tokens that are to be drawn.
  void Meanwhile();
  // Ends or goes on with a sequence whose token, if one was due, is in the event.
  absl::Status Commit(const StepSequence& planned, TokenEvent& event);
  absl::Status SampleInto(TokenEvent& event, const Sequence& sequence, std::span<const float> row);
  absl::Status RunSteps();
  void FailAll(const absl::Status& status);
  void Publish();
  // What there is to say, of the last step too: while the next one is under way, or at once where none follows.
  void Send();

  const EngineSettings settings_;
  StepRunner& runner_;
  const EventSink sink_;
  BoundedQueue<Letter> inbox_;
  std::atomic<bool> draining_ = false, stopped_ = false;

  // Owner thread only.
  Scheduler scheduler_;
  Sampler sampler_;
  Guides guides_;
  std::map<RequestId, std::vector<float>> prompt_scores_;  // until the first token
  std::vector<TokenEvent> news_;                           // to send
  EngineStats counts_;
  StepPlan plan_;                                          // of the last step
  bool rested_ = true;                                     // since the last step there was nothing to do

  Mutex stats_mutex_;
  EngineStats stats_ ABSL_GUARDED_BY(stats_mutex_);
};

}  // namespace drover
