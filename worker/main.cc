// drover-worker: one rank of a group. It joins a coordinator and serves what it is assigned; `bench` measures instead.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <string>

#include "common/help.h"
#include "common/log.h"
#include "worker/bench.h"
#include "worker/comm/make_communicator.h"
#include "worker/devices.h"
#include "worker/host.h"
#include "worker/rank.h"
#include "worker/served_model.h"
#include "worker/signals.h"

namespace drover {
namespace {

constexpr std::chrono::seconds kLeaveTogether{5};  // for the other ranks to end with this one
constexpr int kExitUsage = 2;

constexpr char kExamples[] =
    "Examples:\n"
    "  drover-worker --coordinator 127.0.0.1:7071 --group g0 --launch once\n"
    "  mpirun -np 2 --bind-to none drover-worker --coordinator 10.0.0.1:7071 \\\n    --group g0 --launch 7f3a\n"
    "  drover-worker bench --model tests/testdata/golden/llama4-scout --decode 32\n"
    "Ranks of one mpirun find their place in its environment. `drover launch` writes\n"
    "such lines itself.";

// A whole number from the environment, nullopt when it is not set.
absl::StatusOr<std::optional<int64_t>> NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::optional<int64_t>();
  const std::string_view digits(text);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 0)
    return InvalidArgument(name, ": found ", digits, ", expected a whole number");
  return std::optional<int64_t>(number);
}

struct Options {
  RankSettings rank;
  int64_t orphan_grace_s = 60, drain_limit_s = 300;
  std::string device = "cpu", transport = "auto", attention = "own", log_level = "info";
  bool record = true, peer_sums = false;
  BenchOptions bench;
  bool json = false;  // of bench

  DevicePlace place() const { return {device, transport, attention, rank.hello.rank, rank.hello.ranks, record, peer_sums}; }
};

// "cuda" is a GPU for each rank of a host.
absl::Status ChooseDevice(int64_t ranks, std::string& device) {
  if (device != "cuda") return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const std::optional<int64_t> local_rank, NumberFromEnvironment("OMPI_COMM_WORLD_LOCAL_RANK"));
  if (!local_rank && ranks > 1)
    return InvalidArgument("--device: found cuda, expected cuda:N: without mpirun a rank does not know its place on its host");
  device = Cat("cuda:", local_rank.value_or(0));
  return absl::OkStatus();
}

// Under mpirun its environment says who this is; flags that say otherwise are refused.
absl::Status FindPlace(Options& options, bool& under_mpirun, const CLI::App& app) {
  RankHello& hello = options.rank.hello;
  DROVER_ASSIGN_OR_RETURN(const std::optional<int64_t> rank, NumberFromEnvironment("OMPI_COMM_WORLD_RANK"));
  DROVER_ASSIGN_OR_RETURN(const std::optional<int64_t> ranks, NumberFromEnvironment("OMPI_COMM_WORLD_SIZE"));
  under_mpirun = rank.has_value() && ranks.has_value();
  if (under_mpirun) {
    if (app.count("--rank") > 0 && hello.rank != *rank)
      return InvalidArgument("--rank: found ", hello.rank, ", expected ", *rank, " as mpirun says");
    if (app.count("--ranks") > 0 && hello.ranks != *ranks)
      return InvalidArgument("--ranks: found ", hello.ranks, ", expected ", *ranks, " as mpirun says");
    hello.rank = *rank;
    hello.ranks = *ranks;
  }
  if (hello.ranks < 1) return InvalidArgument("--ranks: found ", hello.ranks, ", expected 1 or more");
  if (hello.rank < 0 || hello.rank >= hello.ranks)
    return InvalidArgument("--rank: found ", hello.rank, ", expected 0 to ", hello.ranks - 1);
  if (options.transport == "nccl" && !MeetsByItself(options.place()) && hello.ranks > 1)
    return InvalidArgument("--transport: found nccl on ", options.device, ", expected a GPU");
  if (hello.ranks > 1 && !under_mpirun && !MeetsByItself(options.place()))
    return InvalidArgument("--ranks: found ", hello.ranks, " without mpirun, expected 1 (start several ranks with mpirun)");
  return absl::OkStatus();
}

constexpr const char* kAttentionHelp = "Attention of a GPU: own kernels, or flashinfer where it covers the model and the cache is bf16";

void AddOptions(CLI::App& app, Options& options) {
  RankHello& hello = options.rank.hello;
  app.add_option("--coordinator", options.rank.coordinator, "HOST:PORT that workers dial");
  app.add_option("--group", hello.group, "Name of the group of ranks");
  app.add_option("--launch", hello.launch, "Nonce that the ranks of one launch share, and no other launch has");
  app.add_option("--rank", hello.rank, "This rank; under mpirun its own")->capture_default_str();
  app.add_option("--ranks", hello.ranks, "Ranks of the group; under mpirun its own")->capture_default_str();
  app.add_option("--listen", options.rank.listen, "HOST:PORT where rank 0 gives steps to the others; port 0: any free one")
      ->capture_default_str();
  app.add_option("--advertise", options.rank.advertise, "HOST where the others find rank 0 (default: that of --listen)");
  app.add_option("--device", options.device, "Where this rank computes: cpu, or with drover-worker-cuda cuda:N; cuda: by the rank's place on its host")->capture_default_str();
  app.add_option("--transport", options.transport, "How ranks with GPUs meet: nccl, or host (copies through MPI); auto: nccl where it is built in")
      ->check(CLI::IsMember({"auto", "nccl", "host"}))->capture_default_str();
  app.add_option("--attention", options.attention, kAttentionHelp)->check(CLI::IsMember({"own", "flashinfer"}))->capture_default_str();
  app.add_option("--record-steps", options.record, "Whether ranks that meet by NCCL replay steps as graphs: the same on every rank")
      ->envname("DROVER_RECORD_STEPS")->capture_default_str();
  app.add_option("--peer-sums", options.peer_sums, "Whether they make small sums over each other's memory, where that is faster: the same on every rank")
      ->envname("DROVER_PEER_SUMS")->capture_default_str();
  app.add_option("--threads", hello.threads, "Threads of this rank; 0: the coordinator's planner chooses")
      ->check(CLI::Range(0, 1024))->capture_default_str();
  app.add_option("--memory", hello.memory_bytes, "Bytes of this host for the planner (default: as measured)")
      ->check(CLI::PositiveNumber);
  app.add_option("--orphan-grace", options.orphan_grace_s, "Seconds to wait for a lost coordinator before leaving")
      ->check(CLI::Range(1, 86'400))->capture_default_str();
  app.add_option("--drain-limit", options.drain_limit_s, "Seconds that running requests get after SIGTERM")
      ->check(CLI::Range(1, 86'400))->capture_default_str();
  app.add_option("--log-level", options.log_level, "debug, info, warning or error")->capture_default_str();
}

CLI::App* AddBench(CLI::App& app, Options& options) {
  BenchOptions& bench = options.bench;
  CLI::App* command = app.add_subcommand("bench", "Measure decode and prefill of a model on these ranks, and the share of read bandwidth");
  command->add_option("--model", bench.model, "Checkpoint; a config.json alone is given random weights")->required();
  command->add_option("--decode", bench.decode_tokens, "Tokens to decode one by one")->check(CLI::Range(0, 1'000'000))->capture_default_str();
  command->add_option("--prefill", bench.prefill_tokens, "Tokens of the prompt")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  command->add_option("--transport", bench.transport, "How ranks with GPUs meet: auto, nccl or host")
      ->check(CLI::IsMember({"auto", "nccl", "host"}))->capture_default_str();
  command->add_option("--attention", bench.attention, kAttentionHelp)->check(CLI::IsMember({"own", "flashinfer"}))->capture_default_str();
  command->add_option("--batch", bench.batch, "Sequences at a time")->check(CLI::Range(1, 4096))->capture_default_str();
  command->add_option("--step-tokens", bench.max_step_tokens, "Tokens of a prefill step")->check(CLI::Range(1, 65'536))->capture_default_str();
  command->add_option("--compute", bench.compute, "Numbers of matrix products: f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  command->add_option_function<std::string>("--kv", [&bench](const std::string& kv) { bench.kv_type = kv == "bf16" ? DType::kBF16 : DType::kF32; },
                                            "Numbers of the cache: f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--threads", bench.threads, "Threads of each rank")->check(CLI::Range(1, 1024))->capture_default_str();
  command->add_option("--device", bench.device, "Where to compute: cpu, or with drover-worker-cuda cuda:N or cuda")->capture_default_str();
  command->add_option("--isa", bench.isa, "Instruction set: best, baseline, avx2, avx512 or reference")->capture_default_str();
  command->add_flag("--json", options.json, "JSON instead of a table");
  return command;
}

// A place in a group is needed to serve; a measurement needs none.
absl::Status CheckServing(const Options& options) {
  const std::pair<const char*, const std::string&> needed[] = {
      {"--coordinator", options.rank.coordinator}, {"--group", options.rank.hello.group}, {"--launch", options.rank.hello.launch}};
  for (const auto& [flag, value] : needed)
    if (value.empty()) return InvalidArgument(flag, ": found nothing, expected a value (see --help)");
  return absl::OkStatus();
}

absl::Status FillHello(Options& options) {
  RankHello& hello = options.rank.hello;
  DROVER_ASSIGN_OR_RETURN(const DeviceFacts device, DescribeDevice(options.device));
  hello.host = device.place.empty() ? HostName() : Cat(HostName(), " ", device.place);
  hello.pid = getpid();
  hello.cores = Cores();
  hello.version = DROVER_VERSION;
  if (hello.memory_bytes == 0) hello.memory_bytes = device.memory_bytes;
  options.rank.orphan_grace = std::chrono::seconds(options.orphan_grace_s);
  options.rank.drain_limit = std::chrono::seconds(options.drain_limit_s);
  return absl::OkStatus();
}

// The rank, then everything it stands on, in this order. A group in trouble is left without a word to its peers: waiting for them
// could take for ever, and mpirun ends them.
int Serve(Options options, int* argc, char*** argv) {
  const DevicePlace place = options.place();
  std::unique_ptr<Peers> peers;
  if (!MeetsByItself(place)) {
    absl::StatusOr<std::unique_ptr<Peers>> joined = JoinPeers(place.rank, place.ranks, argc, argv);
    if (!joined.ok()) {
      Log(LogLevel::kError, "rank cannot start", {{"reason", Message(joined.status())}});
      return 1;
    }
    peers = *std::move(joined);
  } else if (place.rank == 0) {
    options.rank.make_meeting = [place] { return MakeMeeting(place); };
  }
  {
    Rank rank(options.rank, MakeModelLoader(place, peers != nullptr ? &peers->communicator() : nullptr), [](int code) { _exit(code); });
    SignalThread signals([&rank](int count) {
      if (count > 1) _exit(kExitLeftEpoch);
      rank.Drain();
    });
    if (const int code = rank.Run(); code != 0) _exit(code);
  }
  Watchdog last([](const std::string&) { _exit(kExitLeftEpoch); });
  last.Arm("leaving together", kLeaveTogether);
  peers.reset();
  return 0;
}

int Bench(const Options& options, int* argc, char*** argv) {
  absl::StatusOr<std::unique_ptr<Peers>> peers = JoinPeers(options.rank.hello.rank, options.rank.hello.ranks, argc, argv);
  absl::StatusOr<BenchReport> report = peers.ok() ? RunBench(options.bench, (*peers)->communicator()) : peers.status();
  if (!report.ok()) {
    std::fprintf(stderr, "drover-worker bench: %s\n", Message(report.status()).c_str());
    _exit(1);
  }
  if (options.rank.hello.rank == 0) std::fputs(options.json ? (ToJson(*report).dump(2) + "\n").c_str() : ToText(*report).c_str(), stdout);
  std::fflush(stdout);
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("One rank of a Drover group: joins a coordinator, loads its share of a model, and computes");
  app.name("drover-worker");
  app.formatter(HelpFormat(30));
  app.set_version_flag("--version", "drover-worker " DROVER_VERSION);
  app.footer(kExamples);
  Options options;
  AddOptions(app, options);
  const CLI::App* bench = AddBench(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's way to end parsing; nothing of ours throws
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  bool under_mpirun = false;
  absl::Status status;
  for (std::string* device : {&options.device, &options.bench.device}) status.Update(ChooseDevice(options.rank.hello.ranks, *device));
  status.Update(FindPlace(options, under_mpirun, app));
  if (status.ok() && !bench->parsed()) status = CheckServing(options);
  if (!status.ok()) {
    std::fprintf(stderr, "drover-worker: %s\n", Message(status).c_str());
    return kExitUsage;
  }
  // A rank must not outlive its mpirun.
  const pid_t parent = getppid();
  if (under_mpirun && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) return 1;
  if (bench->parsed()) return Bench(options, &argc, &argv);
  SignalThread::Block();
  StartLog(Cat("worker ", options.rank.hello.rank), options.log_level);
  if (status = FillHello(options); !status.ok()) {
    Log(LogLevel::kError, "rank cannot start", {{"reason", Message(status)}});
    return kExitUsage;
  }
  return Serve(std::move(options), &argc, &argv);
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) { return drover::Main(argc, argv); }
