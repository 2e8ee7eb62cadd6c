// See rank.h: the thread of Run. Orders from the coordinator are in rank_orders.cc.
#include "worker/rank.h"

#include "common/check.h"
#include "common/log.h"
#include "worker/group_runner.h"

namespace drover {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{500};            // how often a long wait looks at the flags
constexpr std::chrono::milliseconds kRetryFirst{100}, kRetryMost{2'000};
constexpr std::chrono::milliseconds kProgressEvery{200};
constexpr std::chrono::seconds kDialLeader{30};
constexpr std::chrono::hours kGather{2};                   // the slowest loader; the coordinator judges progress long before
constexpr std::chrono::seconds kStepGrace{5};              // for a step that fails by its own deadline to say so

SchedulerLimits LimitsOf(const GroupPlan& plan, const RankModel& model) {
  return {.block_tokens = plan.block_tokens, .kv_blocks = plan.kv_blocks, .max_step_tokens = plan.max_step_tokens,
          .max_sequences = plan.max_sequences, .max_model_len = plan.max_model_len, .key_lengths = model.key_lengths(),
          .attention_parts = plan.attention_parts};
}

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

}  // namespace

Rank::Rank(RankSettings settings, ModelLoader load, std::function<void(int)> leave_now)
    : settings_(std::move(settings)),
      load_(std::move(load)),
      leave_now_(std::move(leave_now)),
      orphaned_([this](const std::string& what) { LeaveNow(what); }),
      late_step_([this](const std::string& what) { Fail(what, DeadlineExceeded("not done in time")); }),
      slow_drain_([this](const std::string& what) { LeaveNow(what); }),
      control_(settings_.coordinator, {.on_order = [this](ControlMessage& message) { OnOrder(message); },
                                       .on_lost = [this](const absl::Status& status) { OnLost(status); },
                                       .heartbeat = [this] { return Beat(); }}) {}

Rank::~Rank() {
  steps_.reset();  // its callbacks use the rest
  control_.Close();
}

int Rank::Run() {
  if (const absl::Status status = Start(); !status.ok()) {
    Log(LogLevel::kError, "rank cannot start", {{"reason", Message(status)}});
    return kExitLeftEpoch;
  }
  orphaned_.Arm(kOrphaned, settings_.orphan_grace);
  std::chrono::milliseconds retry = kRetryFirst;
  bool rejoins = false;
  while (!leaving() && !draining_) {
    control_.Close();  // nothing of the old stream is heard after this
    // A follower may hear of the loss from its leader first and close its own stream itself: then nobody else arms.
    if (std::exchange(rejoins, false)) orphaned_.Arm(kOrphaned, settings_.orphan_grace);
    epoch_ = 0;
    lost_ = false;
    assignments_.TakeAll();
    const absl::Status joined = Join();
    const std::optional<Assigned> assigned = joined.ok() ? WaitForAssignment() : std::nullopt;
    if (refused_) LeaveNow("the coordinator refused this rank");
    if (!assigned.has_value()) {
      if (lost_) assignments_.Pop(retry);  // wakes early for a drain
      retry = std::min(2 * retry, kRetryMost);
      continue;
    }
    retry = kRetryFirst;
    const Next next = ServeEpoch(*assigned);
    if (next == Next::kLeave) break;
    if (next == Next::kFailed) return kExitLeftEpoch;
    rejoins = true;
  }
  control_.Flush(std::chrono::seconds(1));
  control_.Close();
  return leaving() ? exit_code_.load() : 0;
}

absl::Status Rank::Start() {
  if (settings_.hello.rank != 0 || settings_.hello.ranks == 1) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(steps_, StepsService::Listen(settings_.listen));
  const std::string host = settings_.advertise.empty() ? HostOf(settings_.listen) : settings_.advertise;
  settings_.hello.steps_address = Cat(host, ":", steps_->port());
  return absl::OkStatus();
}

// What was sent with a hello may be in the hands of other ranks, so the next hello has other bytes to meet by.
absl::Status Rank::Join() {
  RankHello& hello = settings_.hello;
  if (settings_.make_meeting != nullptr && hello.rank == 0 && hello.meeting.empty()) {
    absl::StatusOr<std::string> made = settings_.make_meeting();
    if (made.ok() && made->size() > kMeetingBytesMax)
      made = InvalidArgument("meeting: found ", made->size(), " bytes, expected at most ", kMeetingBytesMax);
    if (!made.ok()) {
      LeaveNow(Cat("no way for the ranks to meet: ", Message(made.status())));
      return made.status();
    }
    hello.meeting = *std::move(made);
  }
  const absl::Status joined = control_.Join(hello, SteadyClock::now() + kLook);
  if (joined.ok()) hello.meeting.clear();
  return joined;
}

std::optional<Rank::Assigned> Rank::WaitForAssignment() {
  while (!lost_ && !draining_ && !leaving()) {
    std::optional<std::optional<Assigned>> item = assignments_.Pop(std::chrono::seconds(60));
    // An assignment of a stream that was lost since is void.
    if (item.has_value() && item->has_value() && Value((*item)->epoch) == epoch_) return *std::move(item);
  }
  return std::nullopt;
}

// A leader that failed says nothing: to its followers the group has failed as well.
Farewell Rank::FarewellAfter(Next next) {
  if (next == Next::kRejoin) return Farewell::kRejoin;
  return next == Next::kLeave ? Farewell::kLeave : Farewell::kNone;
}

Rank::Next Rank::ServeEpoch(const Assigned& assigned) {
  const GroupPlan& plan = assigned.assignment.plan;
  if (plan.ranks != settings_.hello.ranks) {
    Fail("plan", InvalidArgument("plan.ranks: found ", plan.ranks, ", expected ", settings_.hello.ranks));
    return Next::kFailed;
  }
  // Before loading: followers may be faster.
  if (steps_) {
    steps_->BeginEpoch(assigned.epoch, assigned.assignment.steps_nonce, plan.ranks,
                       [this](int64_t rank) { Fail("steps", Unavailable("rank ", rank, " left the step path")); });
  }
  if (const absl::Status status = Load(assigned); !status.ok()) {
    Fail("load", status);
    return Next::kFailed;
  }
  const Next next = settings_.hello.rank == 0 ? Lead(assigned) : Follow(assigned);
  if (steps_) steps_->EndEpoch(FarewellAfter(next));
  if (next == Next::kRejoin) Log(LogLevel::kInfo, "epoch left, weights kept", {{"epoch", Cat(assigned.epoch)}});
  return next;
}

absl::Status Rank::Load(const Assigned& assigned) {
  const GroupPlan& plan = assigned.assignment.plan;
  if (model_ == nullptr || settings_.hello.loaded_fingerprint != plan.fingerprint) {
    model_.reset();
    settings_.hello.loaded_fingerprint.clear();
    SteadyClock::time_point next = SteadyClock::now();
    const auto progress = [&](int64_t done, int64_t total) {
      if (SteadyClock::now() < next && done < total) return;
      next = SteadyClock::now() + kProgressEvery;
      control_.Send(WriteProgress(assigned.epoch, done, total));
    };
    loading_ = true;
    absl::StatusOr<std::unique_ptr<RankModel>> loaded = load_(plan, assigned.assignment.meeting, progress);
    loading_ = false;  // a coordinator lost meanwhile: the epoch ends in a rejoin, which starts the grace
    DROVER_ASSIGN_OR_RETURN(model_, std::move(loaded));
    settings_.hello.loaded_fingerprint = plan.fingerprint;
    Log(LogLevel::kInfo, "weights loaded", {{"model", plan.model}, {"bytes", Cat(model_->weight_bytes())}});
  } else {
    DROVER_RETURN_IF_ERROR(model_->Rejoin(assigned.assignment.meeting));
  }
  plan_ = plan;
  control_.Send(WriteLoaded(assigned.epoch, model_->weight_bytes()));
  return absl::OkStatus();
}

absl::StatusOr<StepLogits> Rank::RunStep(const StepPlan& plan, const Meanwhile& meanwhile) {
  const std::chrono::milliseconds timeout(plan_.step_timeout_ms);
  late_step_.Arm(Cat("step ", plan.step), timeout + kStepGrace);
  absl::StatusOr<StepLogits> logits = model_->Run(plan, SteadyClock::now() + timeout, meanwhile);
  late_step_.Disarm();
  ++steps_done_;
  return logits;
}

absl::Status Rank::WaitForFollowers() {
  const auto deadline = SteadyClock::now() + kGather;
  absl::Status status = absl::OkStatus();
  while (steps_ && !lost_ && !draining_ && !leaving()) {
    status = steps_->WaitForFollowers(SteadyClock::now() + kLook);
    if (status.ok() || SteadyClock::now() > deadline) break;
  }
  return status;
}

Rank::Next Rank::Lead(const Assigned& assigned) {
  GroupRunner runner(steps_.get(), [this](const StepPlan& plan, const Meanwhile& meanwhile) { return RunStep(plan, meanwhile); });
  absl::Status status = WaitForFollowers();
  if (lost_ || draining_) return draining_ ? Next::kLeave : Next::kRejoin;
  const auto started = SteadyClock::now();
  if (status.ok()) status = runner.Run(WarmStep()).status();
  if (!status.ok()) {
    Fail("first step", status);
    return Next::kFailed;
  }
  const double warm_ms = std::chrono::duration<double, std::milli>(SteadyClock::now() - started).count();
  const int64_t vocab = model_->vocab();
  Engine engine({.limits = LimitsOf(plan_, *model_), .vocab = vocab, .draws = model_->draws()}, runner, [&](const std::vector<TokenEvent>& events) {
    for (v1::WorkerMessage& message : WriteTokens(assigned.epoch, events, vocab)) control_.Send(std::move(message));
  });
  {
    MutexLock lock(mutex_);
    engine_ = &engine;
    grammars_ = model_->grammars();
  }
  if (lost_ || leaving()) engine.Stop();
  if (draining_) engine.Drain();
  control_.Send(WriteReady(assigned.epoch, warm_ms));
  Log(LogLevel::kInfo, "group ready", {{"epoch", Cat(assigned.epoch)}, {"ranks", Cat(plan_.ranks)}});
  status = engine.RunLoop();
  {
    MutexLock lock(mutex_);
    engine_ = nullptr;
  }
  if (status.ok() || (draining_ && absl::IsAborted(status) && !leaving())) return Next::kLeave;
  if (lost_ && absl::IsAborted(status)) return Next::kRejoin;
  if (!leaving()) Fail("step", status);
  return Next::kFailed;
}

// In short tries: a leader that lost the coordinator has stopped listening, and this rank may have to rejoin as well.
absl::StatusOr<std::unique_ptr<StepsFollower>> Rank::DialLeader(const Assigned& assigned) {
  const Assignment& assignment = assigned.assignment;
  const FollowRequest request{.address = assignment.steps_address, .nonce = assignment.steps_nonce, .epoch = assigned.epoch,
                              .rank = settings_.hello.rank};
  const auto deadline = SteadyClock::now() + kDialLeader;
  absl::StatusOr<std::unique_ptr<StepsFollower>> follower = Aborted("not dialled");
  while (!lost_ && !draining_ && !leaving()) {
    follower = StepsFollower::Dial(request, std::min(deadline, SteadyClock::now() + kLook));
    if (follower.ok() || absl::IsInvalidArgument(follower.status()) || SteadyClock::now() >= deadline) break;
  }
  return follower;
}

Rank::Next Rank::Follow(const Assigned& assigned) {
  absl::StatusOr<std::unique_ptr<StepsFollower>> follower = DialLeader(assigned);
  if (!follower.ok()) {
    if (!leaving() && (draining_ || lost_)) return draining_ ? Next::kLeave : Next::kRejoin;
    Fail("dial leader", follower.status());
    return Next::kFailed;
  }
  {
    MutexLock lock(mutex_);
    follower_ = follower->get();
  }
  bool rejoin = false;
  const absl::Status status = FollowSteps(**follower, assigned, rejoin);
  {
    MutexLock lock(mutex_);
    follower_ = nullptr;
  }
  if (status.ok()) return rejoin && !draining_ ? Next::kRejoin : Next::kLeave;
  if (!leaving()) Fail("step", status);
  return Next::kFailed;
}

absl::Status Rank::FollowSteps(StepsFollower& follower, const Assigned& assigned, bool& rejoin) {
  const GroupPlan& plan = assigned.assignment.plan;
  const StepBounds bounds{.vocab = model_->vocab(), .kv_blocks = plan.kv_blocks, .block_tokens = plan.block_tokens,
                          .max_step_tokens = plan.max_step_tokens, .attention_parts = plan.attention_parts};
  while (!leaving()) {
    DROVER_ASSIGN_OR_RETURN(const NextStep next, follower.Next(bounds));
    rejoin = next.rejoin;
    if (next.leave) return absl::OkStatus();
    DROVER_RETURN_IF_ERROR(RunStep(next.plan, [] {}).status());
  }
  return Aborted("the rank is leaving");
}

}  // namespace drover
