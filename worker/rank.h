// Rank: the life of one worker process. It joins the coordinator, loads its share, and serves one epoch after the other: rank 0
// leads with an engine, the others follow it. Everything that touches model and communicator happens on the thread of Run.
#pragma once

#include <atomic>
#include <optional>

#include "worker/control_client.h"
#include "worker/exit_codes.h"
#include "worker/rank_model.h"
#include "worker/steps_follower.h"
#include "worker/steps_service.h"
#include "worker/watchdog.h"

namespace drover {

struct RankSettings {
  RankHello hello;                     // steps_address, loaded_fingerprint and meeting are filled in later
  // Rank 0: by which the devices of the group's ranks find each other, new ones for each hello. None: they need nothing.
  std::function<absl::StatusOr<std::string>()> make_meeting;
  std::string coordinator;             // host:port
  std::string listen = "127.0.0.1:0";  // rank 0: of the Steps service
  std::string advertise;               // rank 0: host that followers dial; empty: the one of `listen`
  std::chrono::milliseconds orphan_grace{60'000};  // without a coordinator
  std::chrono::milliseconds drain_limit{300'000};
};

class Rank {
 public:
  // `leave_now` ends the process at once with the code, from any thread. When it returns (tests), Run returns the code soon.
  Rank(RankSettings settings, ModelLoader load, std::function<void(int)> leave_now);
  ~Rank();

  // Returns the exit code: 0 after a drain, kExitLeftEpoch otherwise.
  int Run();
  // Any thread: finish what runs, then leave with code 0.
  void Drain();

 private:
  struct Assigned {
    Epoch epoch{};
    Assignment assignment;
  };
  enum class Next { kRejoin, kLeave, kFailed };
  static Farewell FarewellAfter(Next next);

  // Control threads.
  void OnOrder(ControlMessage& message);
  void Obey(Epoch epoch, Assignment assignment);
  void Obey(Epoch epoch, Request request);
  void Obey(Epoch epoch, RefusedRequest refused);
  void Obey(Epoch epoch, CancelRequest cancel);
  void Obey(Epoch epoch, DrainGroup);
  void Obey(Epoch epoch, AbortEpoch abort);
  void Obey(Epoch, CoordinatorAlive) {}
  void OnLost(const absl::Status& status);
  v1::WorkerMessage Beat();
  // Null for a request without a grammar.
  absl::StatusOr<std::unique_ptr<Grammar>> MakeGrammar(const Request& request);
  void Refuse(Epoch epoch, RequestId id, const absl::Status& status);

  // The thread of Run.
  absl::Status Start();
  absl::Status Join();
  std::optional<Assigned> WaitForAssignment();
  Next ServeEpoch(const Assigned& assigned);
  absl::Status Load(const Assigned& assigned);
  absl::StatusOr<std::unique_ptr<StepsFollower>> DialLeader(const Assigned& assigned);
  Next Lead(const Assigned& assigned);
  absl::Status WaitForFollowers();
  Next Follow(const Assigned& assigned);
  absl::Status FollowSteps(StepsFollower& follower, const Assigned& assigned, bool& rejoin);
  absl::StatusOr<StepLogits> RunStep(const StepPlan& plan, const Meanwhile& meanwhile);

  // Any thread: tells the coordinator if it can, then leaves.
  void Fail(const std::string& operation, const absl::Status& status);
  void LeaveNow(const std::string& reason);
  bool leaving() const { return exit_code_ != kStays; }
  static constexpr int kStays = -1;
  static constexpr const char* kOrphaned = "no coordinator for the orphan grace";

  RankSettings settings_;
  const ModelLoader load_;
  const std::function<void(int)> leave_now_;
  std::atomic<int> exit_code_ = kStays;
  std::atomic<bool> lost_ = false;      // the coordinator, since the last join
  std::atomic<bool> refused_ = false;   // it will not have this rank
  std::atomic<bool> draining_ = false;
  std::atomic<bool> loading_ = false;   // the orphan grace waits: a load may be worth hours
  std::atomic<uint64_t> epoch_ = 0;     // of the last assignment of this stream
  std::atomic<uint64_t> steps_done_ = 0;
  BoundedQueue<std::optional<Assigned>> assignments_{16};  // nullopt: look at the flags
  Mutex mutex_;
  Engine* engine_ ABSL_GUARDED_BY(mutex_) = nullptr;           // while an epoch is led
  GrammarMaker grammars_ ABSL_GUARDED_BY(mutex_);              // of the model that is led; null: it takes none
  StepsFollower* follower_ ABSL_GUARDED_BY(mutex_) = nullptr;  // while one is followed

  std::unique_ptr<StepsService> steps_;
  std::unique_ptr<RankModel> model_;
  GroupPlan plan_;
  Watchdog orphaned_, late_step_, slow_drain_;
  ControlClient control_;  // last: its threads use the rest
};

}  // namespace drover
