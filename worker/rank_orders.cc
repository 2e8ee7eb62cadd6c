// See rank.h: what the coordinator orders, on the control threads; and the ways out.
#include "common/log.h"
#include "worker/host.h"
#include "worker/rank.h"

namespace drover {

void Rank::OnOrder(ControlMessage& message) {
  orphaned_.Disarm();  // whatever it says: it lives and keeps this rank
  std::visit([&](auto& order) { Obey(message.epoch, std::move(order)); }, message.order);
}

void Rank::Obey(Epoch epoch, Assignment assignment) {
  if (Value(epoch) <= epoch_) {
    Log(LogLevel::kWarning, "stale assignment refused", {{"epoch", Cat(epoch)}, {"current", Cat(epoch_.load())}});
    return;
  }
  epoch_ = Value(epoch);
  Log(LogLevel::kInfo, "assigned", {{"epoch", Cat(epoch)}, {"model", assignment.plan.model}, {"ranks", Cat(assignment.plan.ranks)}});
  if (!assignments_.TryPush(Assigned{epoch, std::move(assignment)})) LeaveNow("too many assignments at once");
}

// Making one takes a while: the coordinator's next orders wait for it, heartbeats and the engine do not.
absl::StatusOr<std::unique_ptr<Grammar>> Rank::MakeGrammar(const Request& request) {
  if (!request.grammar) return nullptr;
  GrammarMaker make;
  {
    MutexLock lock(mutex_);
    make = grammars_;
  }
  if (make == nullptr) return Unimplemented("grammar: found one, expected none for this model");
  return make(*request.grammar);
}

void Rank::Obey(Epoch epoch, Request request) {
  const RequestId id = request.id;
  absl::StatusOr<std::unique_ptr<Grammar>> grammar = MakeGrammar(request);
  if (!grammar.ok()) return Refuse(epoch, id, grammar.status());
  absl::Status status = FailedPrecondition("the group does not serve epoch ", epoch, " now");
  {
    MutexLock lock(mutex_);
    if (engine_ != nullptr && Value(epoch) == epoch_) status = engine_->Submit(std::move(request), *std::move(grammar));
  }
  if (!status.ok()) Refuse(epoch, id, status);
}

void Rank::Obey(Epoch epoch, RefusedRequest refused) { Refuse(epoch, refused.id, InvalidArgument(refused.reason)); }

void Rank::Obey(Epoch epoch, CancelRequest cancel) {
  MutexLock lock(mutex_);
  if (engine_ == nullptr || Value(epoch) != epoch_) return;
  if (const absl::Status status = engine_->Cancel(cancel.id); !status.ok())
    Log(LogLevel::kWarning, "cancel lost", {{"request", Cat(cancel.id)}, {"reason", Message(status)}});
}

void Rank::Obey(Epoch epoch, DrainGroup) {
  if (Value(epoch) == epoch_) Drain();
}

void Rank::Obey(Epoch epoch, AbortEpoch abort) {
  if (Value(epoch) < epoch_) return;
  if (draining_) {  // leaving already: only sooner
    MutexLock lock(mutex_);
    if (engine_ != nullptr) engine_->Stop();
    return;
  }
  LeaveNow(Cat("aborted by the coordinator: ", abort.reason));
}

// Requests under way belong to an epoch that nobody reads any more: the engine stops after its step, and the group joins again.
void Rank::OnLost(const absl::Status& status) {
  if (leaving()) return;
  Log(LogLevel::kWarning, "coordinator lost", {{"reason", Message(status)}});
  refused_ = absl::IsFailedPrecondition(status) || absl::IsInvalidArgument(status);
  lost_ = true;
  if (!draining_ && !loading_) orphaned_.Arm(kOrphaned, settings_.orphan_grace);
  assignments_.TryPush(std::nullopt);
  MutexLock lock(mutex_);
  if (engine_ != nullptr) engine_->Stop();
}

v1::WorkerMessage Rank::Beat() {
  EngineStats stats{.steps_done = steps_done_};
  {
    MutexLock lock(mutex_);
    if (engine_ != nullptr) stats = engine_->stats();
  }
  return WriteHeartbeat(Epoch{epoch_.load()}, stats, ResidentBytes());
}

void Rank::Refuse(Epoch epoch, RequestId id, const absl::Status& status) {
  const TokenEvent event{.id = id, .finish = FinishReason::kError, .error = Message(status), .not_taken = !absl::IsInvalidArgument(status),
                         .bad_request = absl::IsInvalidArgument(status)};
  for (v1::WorkerMessage& message : WriteTokens(epoch, {event}, 1)) control_.Send(std::move(message));
}

void Rank::Drain() {
  if (draining_.exchange(true)) return;
  slow_drain_.Arm("drain took longer than its limit", settings_.drain_limit);
  control_.Send(WriteDraining(Epoch{epoch_.load()}));
  assignments_.TryPush(std::nullopt);
  MutexLock lock(mutex_);
  if (engine_ != nullptr) engine_->Drain();
}

void Rank::Fail(const std::string& operation, const absl::Status& status) {
  if (leaving()) return;
  Log(LogLevel::kError, "rank failed", {{"in", operation}, {"reason", Message(status)}});
  control_.Send(WriteFailure(Epoch{epoch_.load()}, operation, Message(status)));
  control_.Flush(std::chrono::seconds(1));
  LeaveNow(Cat(operation, ": ", Message(status)));
}

void Rank::LeaveNow(const std::string& reason) {
  int stays = kStays;
  if (!exit_code_.compare_exchange_strong(stays, kExitLeftEpoch)) return;
  Log(LogLevel::kError, "rank leaves", {{"reason", reason}});
  leave_now_(kExitLeftEpoch);
  // Only where leaving does not end the process: everything that waits is let go.
  assignments_.TryPush(std::nullopt);
  MutexLock lock(mutex_);
  if (engine_ != nullptr) engine_->Stop();
  if (follower_ != nullptr) follower_->Cancel();
}

}  // namespace drover
