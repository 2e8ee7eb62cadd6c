// Who is alive: ranks gather into groups, a complete group gets a plan and an epoch, loads, warms up and becomes ready; the end
// of one rank is the end of the epoch. Pure: every call takes the time and returns what is to be sent. No clock, no network.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/status.h"
#include "coordinator/rank_messages.h"

namespace drover {

// kDraining: a rank was told to leave; the group finishes what runs and takes nothing new.
enum class GroupState : uint8_t { kRegistered, kLoading, kWarming, kReady, kDraining, kLost };
std::string_view Name(GroupState state);

struct MembershipLimits {
  Duration suspect_after = std::chrono::seconds(5);     // of silence: no new work goes to the group
  Duration lost_after = std::chrono::seconds(10);       // of silence: the epoch ends
  Duration complete_within = std::chrono::seconds(120); // from the first rank's hello to the last's
  Duration load_stall = std::chrono::seconds(600);      // no rank reports progress
  Duration warm_within = std::chrono::seconds(300);
  Duration step_grace = std::chrono::seconds(10);       // beyond the plan's step deadline, work in hand but no step done
  int64_t groups = 64, ranks = 256, retired_launches = 1024;
};

struct Member {
  StreamId stream{};
  Hello hello;
  TimePoint heard{};
  double loaded_share = 0;
  bool loaded = false;
  int64_t resident_bytes = 0;
};

struct Group {
  std::string name, launch, detail;
  int64_t size = 0;
  Epoch epoch{};  // 0 until the group is complete
  GroupState state = GroupState::kRegistered;
  bool suspect = false;
  std::map<int64_t, Member> members;  // by rank
  GroupPlan plan;
  Heartbeat load;                     // the leader's last
  TimePoint since{};                  // of the last sign of progress in this state
};

// Decides how a complete group serves the model; called with the hellos in rank order.
using GroupPlanner = std::function<absl::StatusOr<GroupPlan>(const std::vector<Hello>&)>;

struct Outgoing {
  StreamId to{};
  OrderMessage message;
  bool last = false;  // the stream is closed after it
};

struct LostEpoch {
  std::string group, reason;
  Epoch epoch{};
  bool drained = false;  // it left in order
};

struct Effects {
  std::vector<Outgoing> orders;
  std::vector<LostEpoch> lost;
  std::vector<std::string> ready, draining;  // groups that became so
};

class Membership {
 public:
  Membership(const MembershipLimits& limits, GroupPlanner planner, Epoch first_epoch)
      : limits_(limits), planner_(std::move(planner)), next_epoch_(first_epoch) {}

  // Errors refuse the stream: a rank out of range, a seat already taken, a launch that already ended.
  absl::StatusOr<Effects> Join(StreamId stream, const Hello& hello, TimePoint now);
  // Any other message. A message of another epoch changes nothing but the time of the last sign of life.
  absl::StatusOr<Effects> Hear(StreamId stream, const RankMessage& message, TimePoint now);
  Effects Leave(StreamId stream, TimePoint now);
  Effects Tick(TimePoint now);

  // The group whose leader speaks on `stream` in its present epoch; null for anybody else.
  const Group* LedBy(StreamId stream, Epoch epoch) const;
  const Group* Find(const std::string& name) const;
  const std::map<std::string, Group>& groups() const { return groups_; }

 private:
  struct Seat {
    std::string group;
    int64_t rank = 0;
  };
  absl::StatusOr<Group*> GroupFor(const Hello& hello, TimePoint now);
  void Assign(Group& group, TimePoint now, Effects& effects);
  void End(Group& group, const std::string& reason, Effects& effects);
  void Retire(Group& group, const std::string& reason, bool drained, Effects& effects);
  void Drain(Group& group, const Member& first, Effects& effects);
  void HearIn(Group& group, Member& member, const RankMessage& message, Effects& effects);
  void HearHeartbeat(Group& group, Member& member, const Heartbeat& beat);
  std::optional<std::string> Overdue(const Group& group, TimePoint now) const;

  const MembershipLimits limits_;
  const GroupPlanner planner_;
  Epoch next_epoch_;
  std::map<std::string, Group> groups_;
  std::map<StreamId, Seat> seats_;
  std::set<StreamId> parting_;          // of ended groups, until they close
  std::set<std::string> retired_;       // "group/launch" that ended
  std::vector<std::string> retired_order_;
};

}  // namespace drover
