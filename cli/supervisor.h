// Keeps a few child processes alive and leaves nothing behind: restarts with back-off, hands on stop signals, kills what does
// not leave in time, and sweeps up orphans of children that died. All calls from the main thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/process.h"
#include "cli/restart_policy.h"
#include "common/clock.h"
#include "common/status.h"

namespace drover {

struct ChildSpec {
  std::string name;                                  // for messages: "coordinator", "group g0"
  std::function<absl::StatusOr<Command>()> command;  // asked before every start; nonces and ports may differ
  RestartLimits restart;
  std::function<std::string()> why;                  // more about a failure, may be empty; asked once it has ended
};

class Supervisor {
 public:
  // Takes over SIGINT, SIGTERM, SIGHUP and SIGCHLD for the process (they reach Turn instead) and inherits orphans.
  static absl::StatusOr<Supervisor> Create();
  Supervisor(Supervisor&& other) noexcept;
  Supervisor& operator=(Supervisor&&) = delete;
  ~Supervisor();  // as Stop without patience

  // Starts the child and keeps it running. Returns its index.
  absl::StatusOr<size_t> Add(ChildSpec spec);

  // Waits until something happens, at most `patience`: reaps, sweeps, restarts. `readable` (if >= 0) is a descriptor whose
  // input also ends the wait. The error says which child failed once too often, or could not start.
  absl::Status Turn(Duration patience, int readable = -1);

  void NoRestarts() { restarts_ = false; }
  // Failures before this call are final; afterwards a child is started again.
  void RestartsFromNow() { restarts_ = true; }

  // How often a stop signal came (SIGINT, SIGTERM, SIGHUP).
  int stop_requests() const { return stop_requests_; }

  bool running(size_t child) const { return children_[child].pid > 0; }
  int64_t starts(size_t child) const { return children_[child].starts; }
  pid_t pid(size_t child) const { return children_[child].pid; }
  const std::optional<Exit>& last_exit(size_t child) const { return children_[child].last_exit; }
  void Signal(size_t child, int signal);

  // Asks every child to leave (SIGTERM), waits up to `patience`, kills the rest, reaps all. Nothing of ours lives afterwards.
  void Stop(Duration patience);

 private:
  struct Child {
    ChildSpec spec;
    RestartPolicy policy;
    pid_t pid = 0;  // 0: not running
    int64_t starts = 0;
    std::optional<TimePoint> start_at;
    std::optional<Exit> last_exit;
  };

  explicit Supervisor(int signals) : signals_(signals) {}
  absl::Status Start(Child& child);
  absl::Status Ended(Child& child, const Exit& exit);
  absl::Status ReapAll();
  absl::Status StartDue();
  void ReadSignals();
  void KillOrphans();
  bool AnyRunning() const;

  int signals_ = -1;  // signalfd
  int stop_requests_ = 0;
  bool restarts_ = false;
  std::vector<Child> children_;
};

}  // namespace drover
