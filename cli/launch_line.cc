// See launch_line.h.
#include "cli/launch_line.h"

#include <signal.h>

namespace drover {
namespace {

// isolated: no ssh, no resource manager. Yield: ranks share cores politely. Keepalive: a silent daemon is noticed within 10 s.
constexpr std::pair<const char*, const char*> kMcaSettings[] = {
    {"mpi_yield_when_idle", "1"},
    {"plm", "isolated"},
    {"btl_vader_single_copy_mechanism", "none"},  // containers forbid copies between address spaces
    {"oob_tcp_keepalive_time", "4"},
    {"oob_tcp_keepalive_intvl", "1"},
    {"oob_tcp_keepalive_probes", "3"},
};

std::vector<std::string> Mpirun(const GroupLaunch& launch) {
  std::vector<std::string> line = {"mpirun", "-np", Cat(launch.ranks), "--oversubscribe", "--bind-to", "none", "--quiet"};
  if (launch.as_root) line.push_back("--allow-run-as-root");
  for (const auto& [key, value] : kMcaSettings) line.insert(line.end(), {"--mca", key, value});
  // Ranks that are killed leave their shared memory behind; in our folder it goes with that.
  for (const char* key : {"orte_tmpdir_base", "btl_vader_backing_directory"})
    if (!launch.session_dir.empty()) line.insert(line.end(), {"--mca", key, launch.session_dir});
  return line;
}

Command RunWorker(const GroupLaunch& launch, const std::vector<std::string>& arguments) {
  Command command;
  // The same for one rank, so that one rank computes as each of several does.
  command.environment = {{"OMP_WAIT_POLICY", "passive"}, {"OMP_NUM_THREADS", "1"}};
  if (launch.ranks > 1) {
    command.argv = Mpirun(launch);
    command.death_signal = SIGTERM;  // mpirun then ends its ranks; a killed one would leave that to them
  }
  command.argv.push_back(launch.worker);
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

void AddDevice(const std::string& device, const std::string& attention, int64_t ranks, std::vector<std::string>& arguments) {
  if (device == "cpu") return;
  arguments.insert(arguments.end(), {"--device", device, "--attention", attention});
  // Ranks that share a GPU cannot meet by NCCL.
  if (device != "cuda" && ranks > 1) arguments.insert(arguments.end(), {"--transport", "host"});
}

std::string WorkerProgram(const std::string& device) { return device == "cpu" ? "drover-worker" : "drover-worker-cuda"; }

Command LaunchLine(const GroupLaunch& launch) {
  std::vector<std::string> arguments = {"--coordinator", launch.coordinator, "--group",     launch.group,
                                        "--launch",      launch.launch,      "--log-level", launch.log_level};
  AddDevice(launch.device, launch.attention, launch.ranks, arguments);
  if (launch.threads > 0) arguments.insert(arguments.end(), {"--threads", Cat(launch.threads)});
  if (launch.memory_bytes > 0) arguments.insert(arguments.end(), {"--memory", Cat(launch.memory_bytes)});
  if (launch.orphan_grace_s > 0) arguments.insert(arguments.end(), {"--orphan-grace", Cat(launch.orphan_grace_s)});
  if (launch.drain_s > 0) arguments.insert(arguments.end(), {"--drain-limit", Cat(launch.drain_s)});
  return RunWorker(launch, arguments);
}

Command BenchLine(const GroupLaunch& launch, const std::vector<std::string>& bench_arguments) {
  std::vector<std::string> arguments = {"bench"};
  arguments.insert(arguments.end(), bench_arguments.begin(), bench_arguments.end());
  return RunWorker(launch, arguments);
}

}  // namespace drover
