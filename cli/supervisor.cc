// See supervisor.h.
#include "cli/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/log.h"

namespace drover {
namespace {

constexpr Duration kPollEvery = std::chrono::milliseconds(100);
constexpr Duration kKillPatience = std::chrono::seconds(2);  // for the kernel to end what got SIGKILL

TimePoint Now() { return SystemClock().Now(); }

}  // namespace

absl::StatusOr<Supervisor> Supervisor::Create() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &standard, nullptr);  // an ignored SIGCHLD would take the exit codes away
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return Internal("cannot block signals");
  const int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return Internal("signalfd: ", strerror(errno));
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  return Supervisor(signals);
}

Supervisor::Supervisor(Supervisor&& other) noexcept
    : signals_(std::exchange(other.signals_, -1)), stop_requests_(other.stop_requests_), restarts_(other.restarts_),
      children_(std::exchange(other.children_, {})) {}

Supervisor::~Supervisor() {
  if (signals_ < 0) return;
  Stop(std::chrono::seconds(0));
  close(signals_);
}

absl::StatusOr<size_t> Supervisor::Add(ChildSpec spec) {
  const RestartLimits limits = spec.restart;
  children_.push_back(Child{.spec = std::move(spec), .policy = RestartPolicy(limits), .start_at = {}, .last_exit = {}});
  if (absl::Status status = Start(children_.back()); !status.ok()) {
    children_.pop_back();
    return status;
  }
  return children_.size() - 1;
}

absl::Status Supervisor::Start(Child& child) {
  child.start_at.reset();
  DROVER_ASSIGN_OR_RETURN(const Command command, child.spec.command());
  DROVER_ASSIGN_OR_RETURN(child.pid, StartProcess(command));
  ++child.starts;
  Log(LogLevel::kDebug, "started", {{"child", child.spec.name}, {"pid", Cat(child.pid)}});
  return absl::OkStatus();
}

absl::Status Supervisor::Turn(Duration patience, int readable) {
  for (const Child& child : children_) {
    if (child.start_at) patience = std::min(patience, std::max(*child.start_at - Now(), Duration(0)));
  }
  pollfd watched[2] = {{signals_, POLLIN, 0}, {readable, POLLIN, 0}};
  poll(watched, readable >= 0 ? 2 : 1, static_cast<int>(Milliseconds(patience)) + 1);
  ReadSignals();
  DROVER_RETURN_IF_ERROR(ReapAll());
  return StartDue();
}

void Supervisor::ReadSignals() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) ++stop_requests_;
  }
}

absl::Status Supervisor::ReapAll() {
  absl::Status first;
  while (const auto ended = ReapAny()) {
    const auto child = std::find_if(children_.begin(), children_.end(), [&](const Child& c) { return c.pid == ended->first; });
    if (child == children_.end()) continue;  // an orphan we inherited
    absl::Status status = Ended(*child, ended->second);
    if (first.ok()) first = std::move(status);
  }
  return first;
}

absl::Status Supervisor::Ended(Child& child, const Exit& exit) {
  SignalGroup(child.pid, SIGKILL);
  child.pid = 0;
  child.last_exit = exit;
  KillOrphans();
  const std::string why = child.spec.why ? child.spec.why() : "";
  const std::string what = Cat(child.spec.name, " ", ToString(exit), why.empty() ? "" : ": ", why);
  if (stop_requests_ > 0) return absl::OkStatus();
  if (!restarts_) return Unavailable(what);
  const std::optional<Duration> delay = child.policy.Failed(Now());
  if (!delay) return Unavailable(what, "; ", child.spec.restart.failures_max, " failures within ",
                                 Milliseconds(child.spec.restart.window) / 60'000, " min: not started again");
  Log(LogLevel::kWarning, "starting again", {{"child", child.spec.name}, {"after_ms", Cat(Milliseconds(*delay))}, {"because", what}});
  child.start_at = Now() + *delay;
  return absl::OkStatus();
}

absl::Status Supervisor::StartDue() {
  for (Child& child : children_) {
    if (!child.start_at || stop_requests_ > 0 || Now() < *child.start_at) continue;
    DROVER_RETURN_IF_ERROR(Annotate(Start(child), child.spec.name));
  }
  return absl::OkStatus();
}

void Supervisor::KillOrphans() {
  for (pid_t pid : LiveChildren()) {
    const bool known = std::any_of(children_.begin(), children_.end(), [&](const Child& child) { return child.pid == pid; });
    if (!known) kill(pid, SIGKILL);
  }
}

void Supervisor::Signal(size_t child, int signal) {
  if (children_[child].pid > 0) SignalGroup(children_[child].pid, signal);
}

bool Supervisor::AnyRunning() const {
  return std::any_of(children_.begin(), children_.end(), [](const Child& child) { return child.pid > 0; });
}

void Supervisor::Stop(Duration patience) {
  restarts_ = false;
  for (Child& child : children_) {
    child.start_at.reset();
    if (child.pid > 0) SignalGroup(child.pid, SIGTERM);
  }
  const auto wait_until = [this](TimePoint deadline, auto done) {
    while (!done() && Now() < deadline) Turn(kPollEvery).IgnoreError();
  };
  wait_until(Now() + patience, [this] { return !AnyRunning(); });
  for (Child& child : children_) {
    if (child.pid > 0) SignalGroup(child.pid, SIGKILL);
  }
  wait_until(Now() + kKillPatience, [this] {
    KillOrphans();
    return !AnyRunning() && LiveChildren().empty();
  });
  ReapAll().IgnoreError();
}

}  // namespace drover
