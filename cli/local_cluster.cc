// See local_cluster.h.
#include "cli/local_cluster.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>
#include <utility>

#include "cli/group_child.h"
#include "cli/preflight.h"
#include "common/json.h"

namespace drover {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kListenWithin = seconds(30);
constexpr Duration kAskEvery = milliseconds(150);
constexpr Duration kAskTimeout = milliseconds(500);
// Stopping takes at most their sum and the kernel's time: less than the promised 10 s.
constexpr Duration kIdlePatience = milliseconds(1200);   // one heartbeat: it may still count an answer that is over
constexpr Duration kLeavePatience = milliseconds(1500);  // for idle ranks
constexpr Duration kDrainPatience = seconds(4);          // for answers to finish
constexpr Duration kKillPatience = milliseconds(2000);
constexpr int64_t kPortsFileBytesMax = 4096;

std::string HostOf(const std::string& address) { return address.substr(0, address.rfind(':')); }

void AddNumber(std::vector<std::string>& argv, const char* flag, int64_t value) {
  if (value > 0) argv.insert(argv.end(), {flag, Cat(value)});
}

}  // namespace

Command CoordinatorLine(const std::string& program, const ServeOptions& options, const Addresses& taken,
                        const std::string& ports_file) {
  const auto either = [](const std::string& known, const std::string& asked) { return known.empty() ? asked : known; };
  Command command;
  command.argv = {program, "--model", options.model, "--http", either(taken.http, options.http),
                  "--grpc", either(taken.grpc, options.grpc), "--cluster", either(taken.cluster, options.cluster),
                  "--ports-file", ports_file, "--log-level", options.log_level,
                  "--drain-limit", Cat(std::chrono::duration_cast<seconds>(kDrainPatience).count())};
  if (!options.name.empty()) command.argv.insert(command.argv.end(), {"--model-name", options.name});
  AddNumber(command.argv, "--max-model-len", options.max_model_len);
  AddNumber(command.argv, "--kv-tokens", options.kv_tokens);
  AddNumber(command.argv, "--threads", options.threads);
  AddNumber(command.argv, "--max-step-tokens", options.max_step_tokens);
  for (const auto& [flag, numbers] : {std::pair<const char*, const std::string&>{"--kv", options.kv}, {"--compute", options.compute}})
    if (numbers != "f32") command.argv.insert(command.argv.end(), {flag, numbers});
  if (options.pipeline > 1) AddNumber(command.argv, "--pipeline", options.pipeline);
  if (options.attention_parts > 1) AddNumber(command.argv, "--data-parallel-attention", options.attention_parts);
  if (options.allow_logits) command.argv.push_back("--allow-logits");
  if (options.generation_config != "model") command.argv.insert(command.argv.end(), {"--generation-config", options.generation_config});
  return command;
}

absl::StatusOr<Addresses> ReadPorts(const std::string& ports_file, const ServeOptions& options) {
  DROVER_ASSIGN_OR_RETURN(const Json ports, ReadJsonFile(ports_file, {.bytes = kPortsFileBytesMax}));
  Addresses addresses;
  const std::pair<const char*, std::pair<const std::string*, std::string*>> wanted[] = {
      {"http", {&options.http, &addresses.http}},
      {"grpc", {&options.grpc, &addresses.grpc}},
      {"cluster", {&options.cluster, &addresses.cluster}}};
  for (const auto& [key, fields] : wanted) {
    const auto port = ports.is_object() ? ports.find(key) : ports.end();
    if (port == ports.end() || !port->is_number_integer())
      return InvalidArgument(ports_file, ": ", key, " is not there, expected a port");
    *fields.second = Cat(HostOf(*fields.first), ":", port->get<int64_t>());
  }
  return addresses;
}

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(const ServeOptions& asked) {
  ServeOptions options = asked;
  std::error_code error;
  options.model = std::filesystem::absolute(asked.model, error).lexically_normal().string();
  DROVER_RETURN_IF_ERROR(CheckBeforeServing(options));
  DROVER_ASSIGN_OR_RETURN(TempDir folder, TempDir::Create());
  DROVER_ASSIGN_OR_RETURN(Supervisor supervisor, Supervisor::Create());
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(options, std::move(supervisor), std::move(folder)));
  DROVER_RETURN_IF_ERROR(cluster->StartCoordinator());
  DROVER_RETURN_IF_ERROR(cluster->StartGroup());
  return cluster;
}

LocalCluster::~LocalCluster() { Stop(); }

absl::Status LocalCluster::StartCoordinator() {
  DROVER_ASSIGN_OR_RETURN(const std::string program, SiblingProgram("drover-coordinator"));
  const std::string ports_file = folder_.path() + "/ports.json";
  ChildSpec spec{.name = "coordinator",
                 .command = [this, program, ports_file] { return CoordinatorLine(program, options_, addresses_, ports_file); },
                 .restart = {}, .why = {}};
  DROVER_ASSIGN_OR_RETURN(coordinator_, supervisor_.Add(std::move(spec)));
  const TimePoint deadline = SystemClock().Now() + kListenWithin;
  while (!std::filesystem::exists(ports_file)) {
    if (supervisor_.stop_requests() > 0) return Cancelled("stopped while the coordinator was starting");
    if (SystemClock().Now() > deadline) return DeadlineExceeded("the coordinator does not listen after ", Milliseconds(kListenWithin) / 1000, " s");
    DROVER_RETURN_IF_ERROR(supervisor_.Turn(milliseconds(20)));
  }
  DROVER_ASSIGN_OR_RETURN(addresses_, ReadPorts(ports_file, options_));
  client_ = std::make_unique<ApiClient>(addresses_.grpc);
  return absl::OkStatus();
}

absl::Status LocalCluster::StartGroup() {
  DROVER_ASSIGN_OR_RETURN(const std::string worker, SiblingProgram(WorkerProgram(options_.device)));
  const GroupLaunch launch{.worker = worker, .coordinator = addresses_.cluster, .group = "g0", .launch = "",
                           .ranks = options_.ranks, .threads = options_.threads, .device = options_.device, .attention = options_.attention,
                           .memory_bytes = options_.memory_bytes * (options_.device == "cpu" ? options_.ranks : 1),
                           .log_level = options_.log_level, .session_dir = folder_.path(), .as_root = geteuid() == 0};
  DROVER_ASSIGN_OR_RETURN(group_, supervisor_.Add(GroupChild(launch, [this] { return WhyNotReady(); })));
  group_started_ = true;
  return absl::OkStatus();
}

// The coordinator's last word on the group; empty when it has none.
std::string LocalCluster::WhyNotReady() {
  const absl::StatusOr<v1::GetClusterResponse> cluster = client_->GetCluster(kAskTimeout);
  if (!cluster.ok() || cluster->groups().empty()) return "";
  return cluster->groups(0).detail();
}

absl::Status LocalCluster::WaitReady(const std::function<void(const v1::GetClusterResponse&)>& on_progress) {
  while (true) {
    DROVER_RETURN_IF_ERROR(supervisor_.Turn(kAskEvery));
    if (supervisor_.stop_requests() > 0) return Cancelled("stopped before the model was ready");
    const absl::StatusOr<v1::GetClusterResponse> cluster = client_->GetCluster(kAskTimeout);
    if (!cluster.ok()) continue;  // it is starting, or has just died, which Turn will tell
    on_progress(*cluster);
    if (cluster->ready()) return absl::OkStatus();
    if (!cluster->groups().empty() && cluster->groups(0).state() == "lost")
      return FailedPrecondition("group ", cluster->groups(0).name(), " did not become ready: ", cluster->groups(0).detail());
  }
}

absl::Status LocalCluster::While(const std::function<absl::Status()>& work) {
  std::atomic<bool> done = false;
  absl::Status result, health;
  std::thread thread([&] {
    result = work();
    done = true;
  });
  while (!done) {
    if (health.ok()) health = supervisor_.Turn(milliseconds(20));
    else std::this_thread::sleep_for(milliseconds(20));
    if (supervisor_.stop_requests() > 0 || !health.ok()) client_->Cancel();
  }
  thread.join();
  return health.ok() ? result : health;
}

bool LocalCluster::Idle() {
  const absl::StatusOr<v1::GetClusterResponse> cluster = client_->GetCluster(kAskTimeout);
  if (!cluster.ok() || !cluster->ready()) return false;
  for (const v1::GroupStatus& group : cluster->groups())
    if (group.running() + group.waiting() > 0) return false;
  return true;
}

// Until the child has left, `patience` is over, or one more stop signal came.
void LocalCluster::WaitForEnd(size_t child, Duration patience) {
  const TimePoint deadline = SystemClock().Now() + patience;
  const int asked = supervisor_.stop_requests();
  while (supervisor_.running(child) && SystemClock().Now() < deadline && supervisor_.stop_requests() == asked)
    supervisor_.Turn(milliseconds(50)).IgnoreError();
}

void LocalCluster::Stop() {
  supervisor_.NoRestarts();
  if (std::exchange(group_started_, false)) {
    const TimePoint deadline = SystemClock().Now() + kIdlePatience;
    while (!Idle() && SystemClock().Now() < deadline) supervisor_.Turn(milliseconds(100)).IgnoreError();
    if (Idle()) {  // the ranks may leave first, in good order; mpirun hands SIGUSR1 on to them
      supervisor_.Signal(group_, SIGUSR1);
      WaitForEnd(group_, kLeavePatience);
    }
    supervisor_.Signal(coordinator_, SIGTERM);  // it lets answers finish
    WaitForEnd(coordinator_, kDrainPatience);
  }
  supervisor_.Stop(kKillPatience);
}

}  // namespace drover
