// See membership.h.
#include "coordinator/membership.h"

#include <algorithm>

namespace drover {
namespace {

constexpr size_t kHelloTextMax = 512;  // bytes of host, address, fingerprint, version

std::string LaunchKey(const Hello& hello) { return Cat(hello.group, "/", hello.launch); }

absl::Status CheckHello(const Hello& hello, const MembershipLimits& limits) {
  if (hello.group.empty() || hello.group.size() > 64)
    return InvalidArgument("hello.group: found ", hello.group.size(), " bytes, expected 1 to 64");
  if (hello.launch.empty() || hello.launch.size() > 128)
    return InvalidArgument("hello.launch: found ", hello.launch.size(), " bytes, expected 1 to 128");
  for (const std::string* text : {&hello.host, &hello.steps_address, &hello.loaded_fingerprint, &hello.version})
    if (text->size() > kHelloTextMax) return InvalidArgument("hello: found a text of ", text->size(), " bytes, expected at most ", kHelloTextMax);
  if (hello.ranks < 1 || hello.ranks > limits.ranks)
    return InvalidArgument("hello.ranks: found ", hello.ranks, ", expected 1 to ", limits.ranks);
  if (hello.rank < 0 || hello.rank >= hello.ranks)
    return InvalidArgument("hello.rank: found ", hello.rank, ", expected 0 to ", hello.ranks - 1);
  if (hello.rank == 0 && hello.ranks > 1 && hello.steps_address.empty())
    return InvalidArgument("hello.steps_address: found nothing, expected the leader's address");
  const size_t meeting_max = hello.rank == 0 ? kMeetingBytesMax : 0;
  if (hello.meeting.size() > meeting_max)
    return InvalidArgument("hello.meeting: found ", hello.meeting.size(), " bytes, expected at most ", meeting_max, " of rank ", hello.rank);
  return absl::OkStatus();
}

std::vector<Hello> Hellos(const Group& group) {
  std::vector<Hello> hellos;
  for (const auto& [rank, member] : group.members) hellos.push_back(member.hello);
  return hellos;
}

}  // namespace

std::string_view Name(GroupState state) {
  static constexpr std::string_view kNames[] = {"registered", "loading", "warming", "ready", "draining", "lost"};
  return kNames[static_cast<size_t>(state)];
}

absl::StatusOr<Group*> Membership::GroupFor(const Hello& hello, TimePoint now) {
  if (retired_.contains(LaunchKey(hello)))
    return FailedPrecondition("launch ", hello.launch, " of group ", hello.group, " has ended; start the group again");
  auto found = groups_.find(hello.group);
  if (found != groups_.end() && found->second.state == GroupState::kLost) {
    groups_.erase(found);
    found = groups_.end();
  }
  if (found == groups_.end()) {
    if (static_cast<int64_t>(groups_.size()) >= limits_.groups)
      std::erase_if(groups_, [](const auto& g) { return g.second.state == GroupState::kLost; });
    if (static_cast<int64_t>(groups_.size()) >= limits_.groups)
      return ResourceExhausted("group ", hello.group, ": already ", limits_.groups, " groups have joined");
    Group& group = groups_[hello.group];
    group = {.name = hello.group, .launch = hello.launch, .size = hello.ranks, .since = now};
    return &group;
  }
  Group& group = found->second;
  if (group.launch != hello.launch)
    return AlreadyExists("group ", hello.group, " is served by launch ", group.launch, ", found launch ", hello.launch);
  if (group.size != hello.ranks)
    return InvalidArgument("hello.ranks: found ", hello.ranks, ", expected ", group.size, " as the other ranks say");
  if (group.members.contains(hello.rank))
    return AlreadyExists("rank ", hello.rank, " of group ", hello.group, " has already joined");
  return &group;
}

absl::StatusOr<Effects> Membership::Join(StreamId stream, const Hello& hello, TimePoint now) {
  DROVER_RETURN_IF_ERROR(CheckHello(hello, limits_));
  if (seats_.contains(stream)) return FailedPrecondition("a second hello on one stream");
  DROVER_ASSIGN_OR_RETURN(Group * group, GroupFor(hello, now));
  group->members[hello.rank] = {.stream = stream, .hello = hello, .heard = now};
  seats_[stream] = {hello.group, hello.rank};
  const auto joined = static_cast<int64_t>(group->members.size());
  group->detail = Cat(joined, " of ", group->size, " ranks have joined");
  Effects effects;
  if (joined == group->size) Assign(*group, now, effects);
  return effects;
}

void Membership::Assign(Group& group, TimePoint now, Effects& effects) {
  absl::StatusOr<GroupPlan> plan = planner_(Hellos(group));
  if (!plan.ok()) return End(group, Message(plan.status()), effects);
  group.plan = *std::move(plan);
  group.epoch = next_epoch_;
  next_epoch_ = Epoch{Value(next_epoch_) + 1};
  group.state = GroupState::kLoading;
  group.detail = "loading weights";
  group.since = now;
  const std::string nonce = Cat(group.launch, "-", Value(group.epoch));
  const Hello& leader = group.members.at(0).hello;
  for (const auto& [rank, member] : group.members) {
    AssignOrder order{.plan = group.plan, .rank = rank, .steps_address = leader.steps_address, .steps_nonce = nonce,
                      .meeting = leader.meeting};
    if (rank < static_cast<int64_t>(group.plan.rank_bytes.size()))
      order.plan.rank_bytes = {group.plan.rank_bytes[static_cast<size_t>(rank)]};
    effects.orders.push_back({member.stream, {group.epoch, std::move(order)}});
  }
}

void Membership::End(Group& group, const std::string& reason, Effects& effects) {
  for (const auto& [rank, member] : group.members) effects.orders.push_back({member.stream, {group.epoch, AbortOrder{reason}}, true});
  Retire(group, reason, false, effects);
}

void Membership::Retire(Group& group, const std::string& reason, bool drained, Effects& effects) {
  for (const auto& [rank, member] : group.members) {
    seats_.erase(member.stream);
    parting_.insert(member.stream);
  }
  effects.lost.push_back({group.name, reason, group.epoch, drained});
  const std::string key = Cat(group.name, "/", group.launch);
  if (retired_.insert(key).second) retired_order_.push_back(key);
  if (static_cast<int64_t>(retired_order_.size()) > limits_.retired_launches) {
    retired_.erase(retired_order_.front());
    retired_order_.erase(retired_order_.begin());
  }
  group.members.clear();
  group.state = GroupState::kLost;
  group.detail = reason;
  group.load = {};
}

Effects Membership::Leave(StreamId stream, TimePoint) {
  Effects effects;
  parting_.erase(stream);
  const auto seat = seats_.find(stream);
  if (seat == seats_.end()) return effects;
  const Seat left = seat->second;
  seats_.erase(seat);
  Group& group = groups_.at(left.group);
  const std::string host = group.members.at(left.rank).hello.host;
  group.members.erase(left.rank);
  if (group.state != GroupState::kDraining) {
    End(group, Cat("rank ", left.rank, " on ", host, " left"), effects);
  } else if (left.rank == 0 || group.members.empty()) {  // the leader is done, and has told the others to leave
    Retire(group, "the group has left", true, effects);
  }
  return effects;
}

// One rank cannot go without the others, so all are told.
void Membership::Drain(Group& group, const Member& first, Effects& effects) {
  if (group.state == GroupState::kDraining) return;
  group.state = GroupState::kDraining;
  group.detail = Cat("leaving, as rank ", first.hello.rank, " was told to");
  for (const auto& [rank, member] : group.members)
    if (member.stream != first.stream) effects.orders.push_back({member.stream, {group.epoch, DrainOrder{}}});
  effects.draining.push_back(group.name);
}

absl::StatusOr<Effects> Membership::Hear(StreamId stream, const RankMessage& message, TimePoint now) {
  if (parting_.contains(stream)) return Effects{};  // said before it heard that its group is gone
  const auto seat = seats_.find(stream);
  if (seat == seats_.end()) return FailedPrecondition("found a message before hello");
  Group& group = groups_.at(seat->second.group);
  Member& member = group.members.at(seat->second.rank);
  member.heard = now;
  Effects effects;
  if (message.epoch != group.epoch || Value(group.epoch) == 0) return effects;
  const uint64_t steps_before = group.load.steps_done;
  const int64_t held_before = group.load.running + group.load.waiting;
  const double share_before = member.loaded_share;
  const GroupState state_before = group.state;
  HearIn(group, member, message, effects);
  if (group.state == GroupState::kLost) return effects;  // `member` is gone
  const bool moved = group.load.steps_done != steps_before || held_before == 0 || member.loaded_share != share_before ||
                     group.state != state_before;
  if (moved) group.since = now;
  return effects;
}

void Membership::HearIn(Group& group, Member& member, const RankMessage& message, Effects& effects) {
  if (const auto* progress = std::get_if<LoadProgress>(&message.body)) {
    if (progress->bytes_total > 0)
      member.loaded_share = std::clamp(static_cast<double>(progress->bytes_done) / static_cast<double>(progress->bytes_total), 0.0, 1.0);
  } else if (std::holds_alternative<Loaded>(message.body)) {
    member.loaded = true;
    member.loaded_share = 1;
    const bool all = std::all_of(group.members.begin(), group.members.end(), [](const auto& m) { return m.second.loaded; });
    if (all && group.state == GroupState::kLoading) {
      group.state = GroupState::kWarming;
      group.detail = "running a first step on every rank";
    }
  } else if (std::holds_alternative<WarmedUp>(message.body)) {
    if (member.hello.rank != 0 || group.state == GroupState::kReady || group.state == GroupState::kDraining) return;
    group.state = GroupState::kReady;
    group.detail.clear();
    effects.ready.push_back(group.name);
  } else if (const auto* beat = std::get_if<Heartbeat>(&message.body)) {
    HearHeartbeat(group, member, *beat);
  } else if (std::holds_alternative<Draining>(message.body)) {
    Drain(group, member, effects);
  } else if (const auto* failure = std::get_if<RankFailure>(&message.body)) {
    const std::string where = failure->operation.empty() ? "" : Cat(" in ", failure->operation);
    End(group, Cat("rank ", member.hello.rank, " on ", member.hello.host, " failed", where, ": ", failure->message), effects);
  }
}

void Membership::HearHeartbeat(Group& group, Member& member, const Heartbeat& beat) {
  member.resident_bytes = beat.resident_bytes;
  if (member.hello.rank == 0) group.load = beat;
}

std::optional<std::string> Membership::Overdue(const Group& group, TimePoint now) const {
  for (const auto& [rank, member] : group.members)
    if (now - member.heard >= limits_.lost_after)
      return Cat("rank ", rank, " on ", member.hello.host, " was silent for ", Milliseconds(now - member.heard), " ms");
  const Duration waited = now - group.since;
  const Duration step_limit = std::chrono::milliseconds(group.plan.step_timeout_ms) + limits_.step_grace;
  if (group.state == GroupState::kRegistered && waited >= limits_.complete_within)
    return Cat("only ", group.detail, " within ", Milliseconds(waited), " ms");
  if (group.state == GroupState::kLoading && waited >= limits_.load_stall)
    return Cat("no rank loaded anything for ", Milliseconds(waited), " ms");
  if (group.state == GroupState::kWarming && waited >= limits_.warm_within)
    return Cat("no first step within ", Milliseconds(waited), " ms");
  const bool serves = group.state == GroupState::kReady || group.state == GroupState::kDraining;
  if (serves && group.load.running + group.load.waiting > 0 && waited >= step_limit)
    return Cat("requests are waiting but no step ended for ", Milliseconds(waited), " ms");
  return std::nullopt;
}

Effects Membership::Tick(TimePoint now) {
  Effects effects;
  for (auto& [name, group] : groups_) {
    if (group.state == GroupState::kLost) continue;
    group.suspect = std::any_of(group.members.begin(), group.members.end(), [&](const auto& m) {
      return now - m.second.heard >= limits_.suspect_after;
    });
    if (const std::optional<std::string> reason = Overdue(group, now)) End(group, *reason, effects);
  }
  return effects;
}

const Group* Membership::LedBy(StreamId stream, Epoch epoch) const {
  const auto seat = seats_.find(stream);
  if (seat == seats_.end() || seat->second.rank != 0) return nullptr;
  const Group& group = groups_.at(seat->second.group);
  return group.epoch == epoch && Value(epoch) != 0 ? &group : nullptr;
}

const Group* Membership::Find(const std::string& name) const {
  const auto found = groups_.find(name);
  return found == groups_.end() ? nullptr : &found->second;
}

}  // namespace drover
