// The coordinator without its sockets: ranks come in as links, clients as typed requests; one loop owns membership and dispatch.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "coordinator/client_request.h"
#include "coordinator/dispatch.h"
#include "coordinator/loop.h"
#include "coordinator/membership.h"

namespace drover {

// A rank's stream. Any call is safe after the rank has gone. Owned by its service and by the coordinator's table.
class RankLink {
 public:
  virtual ~RankLink() = default;
  virtual void Send(const OrderMessage& message) = 0;
  virtual void Close(const absl::Status& why) = 0;  // after what was sent
  virtual void ReadNext() = 0;                      // the message before has been dealt with
};

struct ClusterView {
  bool ready = false;
  int64_t waiting = 0, in_flight = 0;
  int64_t max_model_len = 0;  // of prompt and output together, as the groups' plans allow
  std::vector<Group> groups;
  TimePoint taken{};
};

// One request under way; held by its edge and by the coordinator until it ends.
struct Ticket {
  explicit Ticket(RequestId request_id) : id(request_id) {}
  const RequestId id;
  std::atomic<bool> cancelled{false};
};

struct CoordinatorSettings {
  ModelInfo model;
  MembershipLimits membership;
  DispatchLimits dispatch;
  Duration request_timeout = std::chrono::seconds(600);
  Duration hello_within = std::chrono::seconds(5);
  Epoch first_epoch{1};
  uint64_t seed = 0;         // of the seeds given to requests that bring none
  size_t text_waiting_max = 256;
};

struct CoordinatorParts {
  const TextCodec& text;
  Metrics& metrics;
  const Clock& clock;
  GroupPlanner planner;
  std::function<void(bool)> on_readiness;  // called on the loop when readiness changes
};

class Coordinator {
 public:
  Coordinator(const CoordinatorSettings& settings, CoordinatorParts parts);
  ~Coordinator();

  // Clients; any thread. `deliver` hears pieces on any thread, the last one exactly once.
  std::shared_ptr<Ticket> Generate(ClientRequest request, Deliver deliver);
  void Cancel(const std::shared_ptr<Ticket>& ticket, const absl::Status& why);
  // Runs text work off the caller's thread; kResourceExhausted when too much of it waits.
  absl::Status RunText(Task task);
  // For answer ids; never the same twice while the coordinator lives.
  uint64_t NewAnswerNumber() { return next_answer_++; }
  const ModelInfo& model() const { return settings_.model; }
  const TextCodec& text() const { return parts_.text; }
  Metrics& metrics() const { return parts_.metrics; }

  // Ranks; any thread. After RankSaid the link is told to read on.
  StreamId RankConnected(std::shared_ptr<RankLink> link);
  void RankSaid(StreamId stream, RankMessage message);
  void RankGone(StreamId stream);
  // The coordinator leaves: from now on no rank is told anything, so that loaded ranks wait for the next coordinator.
  void ReleaseRanks();

  std::shared_ptr<const ClusterView> view() const;
  // StartDrain refuses new requests from now on and returns when view() counts all that were admitted; CancelAll ends those that
  // still run and returns when their clients have been told. Both give up after a second; not for the loop itself.
  void StartDrain();
  void CancelAll(const absl::Status& why);
  void Stop();

 private:
  struct Link {
    std::shared_ptr<RankLink> link;
    TimePoint connected{};
    bool greeted = false;
  };
  void Submit(const std::shared_ptr<Ticket>& ticket, const ClientRequest& wish,
              const absl::StatusOr<std::vector<int32_t>>& prompt, TimePoint arrived, const Deliver& deliver);
  absl::StatusOr<std::vector<int32_t>> ReadPrompt(const ClientRequest& wish) const;
  absl::StatusOr<Submission> Prepare(const ClientRequest& wish, std::vector<int32_t> prompt, RequestId id);
  void Hear(StreamId stream, const RankMessage& message);
  void Apply(const Effects& effects);
  void RunAndWait(const Task& task);
  void SendTo(const std::string& group, Epoch epoch, Order order);
  void Tick();
  void Ping(TimePoint now);
  void Publish();
  uint64_t NextSeed();

  const CoordinatorSettings settings_;
  const CoordinatorParts parts_;
  std::atomic<uint64_t> next_request_{1}, next_stream_{1}, next_answer_{1};
  // Owned by the loop's thread.
  Membership membership_;
  Dispatcher dispatcher_;
  std::map<StreamId, Link> links_;
  TimePoint next_ping_{};
  uint64_t seed_state_;
  bool was_ready_ = false, released_ = false;
  ModelInfo effective_;  // the model's facts, with the window that every ready group has room for

  mutable Mutex view_mutex_;
  std::shared_ptr<const ClusterView> view_ ABSL_GUARDED_BY(view_mutex_);
  Pool pool_;
  Loop loop_;  // last: its thread sees everything above made
};

}  // namespace drover
