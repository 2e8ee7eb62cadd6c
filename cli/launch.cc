// See launch.h.
#include "cli/launch.h"

#include <signal.h>
#include <unistd.h>

#include <iostream>

#include "cli/group_child.h"
#include "cli/serve.h"
#include "cli/supervisor.h"
#include "cli/temp_dir.h"
#include "proto/config_file.h"

namespace drover {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);
constexpr Duration kLeaveWithin = std::chrono::seconds(7);  // for the ranks after a stop signal

// Lets running requests finish. mpirun hands SIGUSR1 on to every rank; at SIGTERM it would kill them after a second.
void Drain(Supervisor& supervisor, size_t group, int64_t limit_s) {
  supervisor.NoRestarts();
  supervisor.Signal(group, SIGUSR1);
  const TimePoint deadline = SystemClock().Now() + std::chrono::seconds(limit_s);
  const int asked = supervisor.stop_requests();
  while (supervisor.running(group) && supervisor.stop_requests() == asked && SystemClock().Now() < deadline)
    supervisor.Turn(kLookEvery).IgnoreError();
}

absl::Status Launch(GroupLaunch launch) {
  DROVER_ASSIGN_OR_RETURN(launch.worker, SiblingProgram(WorkerProgram(launch.device)));
  DROVER_ASSIGN_OR_RETURN(const TempDir folder, TempDir::Create());
  launch.session_dir = folder.path();
  launch.as_root = geteuid() == 0;
  DROVER_ASSIGN_OR_RETURN(Supervisor supervisor, Supervisor::Create());
  supervisor.RestartsFromNow();
  DROVER_ASSIGN_OR_RETURN(const size_t group, supervisor.Add(GroupChild(launch, {})));
  std::cerr << "drover: group " << launch.group << " of " << launch.ranks << " joins " << launch.coordinator << std::endl;
  while (supervisor.stop_requests() == 0) DROVER_RETURN_IF_ERROR(supervisor.Turn(kLookEvery));
  std::cerr << "drover: stopping" << std::endl;
  if (launch.drain_s > 0) Drain(supervisor, group, launch.drain_s);
  supervisor.Signal(group, SIGTERM);
  supervisor.Stop(kLeaveWithin);
  return absl::OkStatus();
}

absl::Status LaunchFrom(const std::string& config_path, CLI::App& command, const GroupLaunch& launch) {
  if (!config_path.empty()) {
    DROVER_ASSIGN_OR_RETURN(const v1::Config config, ReadConfigFile(config_path));
    DROVER_RETURN_IF_ERROR(ApplyConfig(config.group(), config_path, command));  // writes into `launch`
  }
  if (launch.coordinator.empty()) return InvalidArgument("--coordinator: found nothing, expected HOST:PORT (see drover launch --help)");
  return Launch(launch);
}

}  // namespace

void AddLaunchCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("launch", "Start one group of ranks that joins a running coordinator");
  const auto launch = std::make_shared<GroupLaunch>();
  launch->group = "g0";
  launch->ranks = 2;
  const auto config = std::make_shared<std::string>();
  command->add_option("--config", *config, "File of settings (JSON); flags win over it");
  command->add_option("--coordinator", launch->coordinator, "Where ranks dial it, HOST:PORT")->envname("DROVER_COORDINATOR");
  command->add_option("--group", launch->group, "Name of the group")->envname("DROVER_GROUP")->capture_default_str();
  command->add_option("--ranks", launch->ranks, "Worker ranks to cut the model over")
      ->check(CLI::Range(int64_t{1}, kRanksMax))->envname("DROVER_RANKS")->capture_default_str();
  command->add_option("--threads", launch->threads, "Threads of each rank (the planner chooses)")
      ->check(CLI::Range(0, 1024))->envname("DROVER_THREADS");
  command->add_option("--device", launch->device, "Where ranks compute: cpu, cuda (a GPU each), cuda:N")
      ->envname("DROVER_DEVICE")->capture_default_str();
  AddAttentionOption(*command, launch->attention)->envname("DROVER_ATTENTION");
  AddMemoryOption(*command, launch->memory_bytes, "Memory of this host for the plan, e.g. 64GiB");
  command->add_option("--orphan-grace", launch->orphan_grace_s, "Seconds to wait for a lost coordinator (60)")
      ->check(CLI::Range(1, 86'400))->envname("DROVER_ORPHAN_GRACE");
  command->add_option("--drain-limit", launch->drain_s, "Seconds for running requests after SIGTERM (0)")
      ->check(CLI::Range(0, 3600))->envname("DROVER_GROUP_DRAIN_LIMIT");
  command->add_option("--log-level", launch->log_level, "What ranks log: debug to error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))->envname("DROVER_LOG_LEVEL")->capture_default_str();
  command->footer("Example:\n  drover launch --coordinator 10.0.0.7:8002 --ranks 4 --group blue\n");
  command->callback([launch, config, command, finish] { finish(Report(LaunchFrom(*config, *command, *launch))); });
}

}  // namespace drover
