// See coordinator.h.
#include "coordinator/coordinator.h"

#include <algorithm>
#include <future>
#include <utility>

#include "common/log.h"

namespace drover {
namespace {

constexpr int kTextThreads = 2;
constexpr Duration kTellWithin = std::chrono::seconds(1);
constexpr Duration kPingEvery = std::chrono::seconds(1);

Piece ErrorPiece(absl::Status why) { return {.finish = FinishReason::kError, .error = std::move(why)}; }

}  // namespace

Coordinator::Coordinator(const CoordinatorSettings& settings, CoordinatorParts parts)
    : settings_(settings),
      parts_(std::move(parts)),
      membership_(settings.membership, parts_.planner, settings.first_epoch),
      dispatcher_(settings.dispatch, parts_.text, parts_.metrics,
                  [this](const std::string& group, Epoch epoch, Order order) { SendTo(group, epoch, std::move(order)); }),
      seed_state_(settings.seed),
      effective_(settings.model),
      view_(std::make_shared<ClusterView>(ClusterView{.max_model_len = settings.model.max_model_len})),
      pool_(kTextThreads, settings.text_waiting_max),
      loop_([this] { Tick(); }) {}

Coordinator::~Coordinator() { Stop(); }

void Coordinator::Stop() {
  pool_.Stop();
  loop_.Stop();
}

// SplitMix64: well spread seeds from a counter.
uint64_t Coordinator::NextSeed() {
  uint64_t z = (seed_state_ += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

absl::Status Coordinator::RunText(Task task) {
  if (pool_.TryRun(std::move(task))) return absl::OkStatus();
  return ResourceExhausted("too many requests wait for their text to be read");
}

std::shared_ptr<Ticket> Coordinator::Generate(ClientRequest request, Deliver deliver) {
  auto ticket = std::make_shared<Ticket>(RequestId{next_request_++});
  const TimePoint arrived = parts_.clock.Now();
  const bool at_once = !request.grammar && std::holds_alternative<std::vector<int32_t>>(request.prompt);
  Task prepare = [this, ticket, wish = std::move(request), deliver, arrived] {
    absl::StatusOr<std::vector<int32_t>> prompt = Cancelled("the client left");
    if (!ticket->cancelled) prompt = ReadPrompt(wish);
    const bool posted = loop_.Post([=, this] { Submit(ticket, wish, prompt, arrived, deliver); });
    if (!posted) deliver(ErrorPiece(Unavailable("the server is shutting down")));
  };
  if (at_once) {
    prepare();
  } else if (absl::Status started = RunText(std::move(prepare)); !started.ok()) {
    parts_.metrics.Refused(started.code());
    deliver(ErrorPiece(started));
  }
  return ticket;
}

absl::StatusOr<std::vector<int32_t>> Coordinator::ReadPrompt(const ClientRequest& wish) const {
  DROVER_RETURN_IF_ERROR(Check(wish, settings_.model));
  if (wish.grammar)
    if (const absl::Status good = parts_.text.CheckGrammar(*wish.grammar); !good.ok()) return Annotate(good, wish.grammar_field);
  return EncodePrompt(wish.prompt, parts_.text);
}

absl::StatusOr<Submission> Coordinator::Prepare(const ClientRequest& wish, std::vector<int32_t> prompt, RequestId id) {
  Submission submission;
  DROVER_ASSIGN_OR_RETURN(submission.request, Resolve(wish, std::move(prompt), effective_, NextSeed()));
  submission.request.id = id;
  submission.rules = {.stop = wish.stop,
                      .end_ids = submission.request.end_ids,
                      .eos_ids = settings_.model.end_ids,
                      .include_stop = wish.include_stop,
                      .show_logprobs = wish.logprobs >= 0,
                      .min_tokens = submission.request.min_tokens};
  if (parts_.text.has_tokenizer()) {
    DROVER_ASSIGN_OR_RETURN(submission.stream, parts_.text.NewStream(wish.skip_special_tokens));
  }
  return submission;
}

void Coordinator::Submit(const std::shared_ptr<Ticket>& ticket, const ClientRequest& wish,
                         const absl::StatusOr<std::vector<int32_t>>& prompt, TimePoint arrived, const Deliver& deliver) {
  absl::Status refused = prompt.status();
  if (ticket->cancelled) refused = Cancelled("the client left");
  if (refused.ok()) {
    absl::StatusOr<Submission> submission = Prepare(wish, *prompt, ticket->id);
    if (submission.ok()) {
      submission->arrived = arrived;
      submission->deadline = arrived + wish.timeout.value_or(settings_.request_timeout);
      submission->want_prompt = wish.want_prompt;
      submission->deliver = deliver;
      return dispatcher_.Submit(*std::move(submission), parts_.clock.Now());
    }
    refused = submission.status();
  }
  parts_.metrics.Refused(refused.code());
  deliver(ErrorPiece(refused));
}

void Coordinator::Cancel(const std::shared_ptr<Ticket>& ticket, const absl::Status& why) {
  ticket->cancelled = true;
  loop_.Post([this, ticket, why] { dispatcher_.Cancel(ticket->id, why, parts_.clock.Now()); });
}

StreamId Coordinator::RankConnected(std::shared_ptr<RankLink> link) {
  const StreamId stream{next_stream_++};
  const bool posted = loop_.Post([this, stream, link] { links_[stream] = {link, parts_.clock.Now()}; });
  if (!posted) link->Close(Unavailable("the coordinator is shutting down"));
  return stream;
}

void Coordinator::RankSaid(StreamId stream, RankMessage message) {
  loop_.Post([this, stream, message = std::move(message)] { Hear(stream, message); });
}

void Coordinator::RankGone(StreamId stream) {
  loop_.Post([this, stream] {
    links_.erase(stream);
    if (!released_) Apply(membership_.Leave(stream, parts_.clock.Now()));
  });
}

void Coordinator::ReleaseRanks() {
  loop_.Post([this] { released_ = true; });
}

void Coordinator::Hear(StreamId stream, const RankMessage& message) {
  const auto link = links_.find(stream);
  if (link == links_.end() || released_) return;
  const std::shared_ptr<RankLink> speaker = link->second.link;
  const TimePoint now = parts_.clock.Now();
  const auto* hello = std::get_if<Hello>(&message.body);
  absl::StatusOr<Effects> effects = hello != nullptr ? membership_.Join(stream, *hello, now) : membership_.Hear(stream, message, now);
  if (!effects.ok()) {
    Log(LogLevel::kWarning, "rank refused", {{"stream", Cat(Value(stream))}, {"why", Message(effects.status())}});
    return speaker->Close(effects.status());
  }
  if (hello != nullptr) {
    link->second.greeted = true;
    Log(LogLevel::kInfo, "rank joined", {{"group", hello->group}, {"rank", Cat(hello->rank)}, {"host", hello->host}});
  }
  Apply(*effects);
  if (const auto* events = std::get_if<std::vector<TokenEvent>>(&message.body))
    if (const Group* group = membership_.LedBy(stream, message.epoch)) dispatcher_.OnTokens(group->name, message.epoch, *events, now);
  speaker->ReadNext();
}

void Coordinator::Apply(const Effects& effects) {
  const TimePoint now = parts_.clock.Now();
  for (const Outgoing& out : effects.orders) {
    const auto link = links_.find(out.to);
    if (link == links_.end()) continue;
    link->second.link->Send(out.message);
    if (out.last) link->second.link->Close(Aborted(std::get<AbortOrder>(out.message.body).reason));
  }
  for (const LostEpoch& lost : effects.lost) {
    Log(lost.drained ? LogLevel::kInfo : LogLevel::kWarning, lost.drained ? "group left" : "group lost", {{"group", lost.group}, {"epoch", Cat(Value(lost.epoch))}, {"why", lost.reason}});
    dispatcher_.OnGroupLost(lost.group, lost.reason, now);
  }
  for (const std::string& name : effects.ready) {
    const Group& group = *membership_.Find(name);
    Log(LogLevel::kInfo, "group ready", {{"group", name}, {"epoch", Cat(Value(group.epoch))}, {"ranks", Cat(group.size)}});
    dispatcher_.OnGroupReady(name, group.epoch, group.plan.max_sequences, now);
  }
  for (const std::string& name : effects.draining) {
    Log(LogLevel::kInfo, "group draining", {{"group", name}});
    dispatcher_.SetPaused(name, true, now);
  }
  if (!effects.lost.empty() || !effects.ready.empty() || !effects.draining.empty()) Publish();
}

void Coordinator::SendTo(const std::string& name, Epoch epoch, Order order) {
  const Group* group = membership_.Find(name);
  if (group == nullptr || group->epoch != epoch || !group->members.contains(0)) return;
  const auto link = links_.find(group->members.at(0).stream);
  if (link != links_.end()) link->second.link->Send({epoch, std::move(order)});
}

void Coordinator::Ping(TimePoint now) {
  if (now < next_ping_) return;
  next_ping_ = now + kPingEvery;
  for (const auto& [name, group] : membership_.groups())
    for (const auto& [rank, member] : group.members)
      if (const auto link = links_.find(member.stream); link != links_.end()) link->second.link->Send({group.epoch, PingOrder{}});
  for (auto& [stream, link] : links_)
    if (!link.greeted && now - link.connected >= settings_.hello_within) link.link->Close(DeadlineExceeded("no hello came"));
}

void Coordinator::Tick() {
  if (released_) return;
  const TimePoint now = parts_.clock.Now();
  Apply(membership_.Tick(now));
  for (const auto& [name, group] : membership_.groups()) dispatcher_.SetPaused(name, group.suspect || group.state == GroupState::kDraining, now);
  dispatcher_.Tick(now);
  Ping(now);
  Publish();
}

void Coordinator::Publish() {
  auto view = std::make_shared<ClusterView>();
  LoadGauges load{.waiting = dispatcher_.waiting()};
  int64_t used = 0;
  effective_.max_model_len = settings_.model.max_model_len;
  for (const auto& [name, group] : membership_.groups()) {
    view->groups.push_back(group);
    load.ranks += static_cast<int64_t>(group.members.size());
    if (group.state != GroupState::kReady) continue;
    ++load.groups_ready;
    if (group.plan.max_model_len > 0) effective_.max_model_len = std::min(effective_.max_model_len, group.plan.max_model_len);
    load.running += group.load.running;
    load.waiting += group.load.waiting;
    load.preemptions += group.load.preemptions;
    load.gaps += group.load.gaps;
    load.kv_blocks += group.plan.attention_parts * group.plan.kv_blocks;
    load.block_tokens = group.plan.block_tokens;
    used += group.load.kv_blocks_used;
  }
  if (load.kv_blocks > 0) load.kv_used_share = static_cast<double>(used) / static_cast<double>(load.kv_blocks);
  parts_.metrics.SetLoad(load);
  view->max_model_len = effective_.max_model_len;
  view->ready = dispatcher_.ready();
  view->waiting = dispatcher_.waiting();
  view->in_flight = dispatcher_.in_flight();
  view->taken = parts_.clock.Now();
  const bool ready = view->ready;
  {
    MutexLock lock(view_mutex_);
    view_ = std::move(view);
  }
  if (ready != was_ready_ && parts_.on_readiness) parts_.on_readiness(ready);
  was_ready_ = ready;
}

std::shared_ptr<const ClusterView> Coordinator::view() const {
  MutexLock lock(view_mutex_);
  return view_;
}

// On the loop; returns when it has run, or after kTellWithin.
void Coordinator::RunAndWait(const Task& task) {
  auto ran = std::make_shared<std::promise<void>>();  // owned by this call and by the task, which may outlive it
  const bool posted = loop_.Post([task, ran] {
    task();
    ran->set_value();
  });
  if (posted) ran->get_future().wait_for(kTellWithin);
}

void Coordinator::StartDrain() {
  RunAndWait([this] {
    dispatcher_.StartDrain();
    Publish();
  });
}

void Coordinator::CancelAll(const absl::Status& why) {
  RunAndWait([this, why] { dispatcher_.FailAll(why, parts_.clock.Now()); });
}

}  // namespace drover
