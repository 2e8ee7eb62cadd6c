// See bench.h.
#include "cli/bench.h"

#include <unistd.h>

#include "cli/launch_line.h"
#include "cli/serve.h"
#include "cli/supervisor.h"
#include "cli/temp_dir.h"

namespace drover {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);
constexpr Duration kLeaveWithin = std::chrono::seconds(5);

struct BenchOptions {
  std::string model, device = "cpu", attention = "own", compute = "f32", kv = "f32";
  int64_t ranks = 1, threads = 0, batch = 1, decode = 64, prefill = 256;
  bool json = false;
};

std::vector<std::string> WorkerArguments(const BenchOptions& options) {
  std::vector<std::string> arguments = {"--model", options.model, "--decode", Cat(options.decode), "--prefill", Cat(options.prefill),
                                        "--threads", Cat(options.threads), "--batch", Cat(options.batch),
                                        "--compute", options.compute, "--kv", options.kv};
  AddDevice(options.device, options.attention, options.ranks, arguments);
  if (options.json) arguments.push_back("--json");
  return arguments;
}

absl::Status Bench(BenchOptions options) {
  if (options.threads == 0) options.threads = std::max<int64_t>(1, sysconf(_SC_NPROCESSORS_ONLN) / options.ranks);
  GroupLaunch launch{.worker = "", .coordinator = "", .group = "", .launch = "", .ranks = options.ranks, .session_dir = "", .as_root = geteuid() == 0};
  DROVER_ASSIGN_OR_RETURN(launch.worker, SiblingProgram(WorkerProgram(options.device)));
  DROVER_ASSIGN_OR_RETURN(const TempDir folder, TempDir::Create());
  launch.session_dir = folder.path();
  Command command = BenchLine(launch, WorkerArguments(options));
  command.keep_stdout = true;
  DROVER_ASSIGN_OR_RETURN(Supervisor supervisor, Supervisor::Create());
  DROVER_ASSIGN_OR_RETURN(const size_t child, supervisor.Add({.name = "bench", .command = [command] { return command; }, .restart = {}, .why = {}}));
  while (supervisor.running(child) && supervisor.stop_requests() == 0) supervisor.Turn(kLookEvery).IgnoreError();
  const bool stopped = supervisor.running(child);
  supervisor.Stop(kLeaveWithin);
  if (stopped) return Cancelled("stopped before the measurement was done");
  const Exit exit = *supervisor.last_exit(child);
  return exit.clean() ? absl::OkStatus() : Internal("the measuring ranks failed (", ToString(exit), "); they said why above");
}

}  // namespace

void AddBenchCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("bench", "Measure tokens per second of a model on this machine");
  const auto options = std::make_shared<BenchOptions>();
  command->add_option("model", options->model, "Checkpoint, or config.json for random weights")->required();
  command->add_option("--ranks", options->ranks, "Worker ranks")->check(CLI::Range(int64_t{1}, kRanksMax))->capture_default_str();
  command->add_option("--threads", options->threads, "Threads of each rank (cores / ranks)")->check(CLI::Range(1, 1024));
  command->add_option("--device", options->device, "Where ranks compute: cpu, cuda (a GPU each), cuda:N")->capture_default_str();
  AddAttentionOption(*command, options->attention);
  command->add_option("--compute", options->compute, "Numbers of matrix products: f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  command->add_option("--kv", options->kv, "Numbers of the cache: f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  command->add_option("--batch", options->batch, "Sequences at a time")->check(CLI::Range(1, 4096))->capture_default_str();
  command->add_option("--decode", options->decode, "Tokens to decode one by one")->check(CLI::Range(0, 1'000'000))->capture_default_str();
  command->add_option("--prefill", options->prefill, "Tokens of the prompt")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  command->add_flag("--json", options->json, "JSON instead of a table");
  command->footer("Example:\n  drover bench demo/model --ranks 2 --threads 1 --decode 64 --prefill 256\n");
  command->callback([options, finish] { finish(Report(Bench(*options))); });
}

}  // namespace drover
