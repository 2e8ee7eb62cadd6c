// drover-coordinator: reads its flags, serves one model until SIGTERM or SIGINT, lets running answers finish, leaves.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <random>

#include "common/help.h"
#include "common/log.h"
#include "coordinator/served_model.h"
#include "coordinator/server.h"
#include "proto/config_file.h"

namespace drover {
namespace {

struct Options {
  ModelConfig model;
  ListenConfig listen;
  std::string config, ports_file, log_level = "info", chat_template = "safe", generation_config = "model";
  int64_t queue = 256, request_timeout_s = 600;
  double drain_limit_s = 30;
};

void AddFlags(CLI::App& app, Options& o) {
  app.add_option("--config", o.config, "JSON file of drover.v1.Config; flags win over it");
  app.add_option("--model", o.model.path, "Directory or GGUF file of the model");
  app.add_option("--model-name", o.model.plan.model, "Name shown to clients (default: the checkpoint's)");
  app.add_option("--http", o.listen.http, "HOST:PORT of the OpenAI-compatible endpoint; port 0 for any")->capture_default_str();
  app.add_option("--grpc", o.listen.grpc, "HOST:PORT of drover.v1.Drover")->capture_default_str();
  app.add_option("--cluster", o.listen.cluster, "HOST:PORT where ranks join")->capture_default_str();
  app.add_option("--ports-file", o.ports_file, "File that receives the ports as JSON once all three listen");
  app.add_option("--max-model-len", o.model.plan.max_model_len, "Tokens of prompt and output together (0: the planner chooses)");
  app.add_option("--kv-tokens", o.model.plan.kv_tokens, "Tokens that the KV cache has room for (0: the planner chooses)");
  app.add_option("--kv", o.model.plan.kv, "Numbers of the KV cache: f32, or bf16 for half the memory")
      ->capture_default_str()->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--compute", o.model.plan.compute, "Numbers of matrix products: f32, or bf16 for the tensor cores of GPUs")
      ->capture_default_str()->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--max-step-tokens", o.model.plan.max_step_tokens, "Tokens of one step, over all requests (0: the planner chooses)")
      ->check(CLI::Range(0, 1 << 18));
  app.add_option("--max-sequences", o.model.plan.max_sequences, "Requests running at once in a group (0: the planner chooses)");
  app.add_option("--threads", o.model.plan.threads, "Threads of each rank (0: from the ranks' cores)");
  app.add_option("--pipeline", o.model.plan.stages, "Stages: runs of ranks with a run of layers each; divides the ranks")->capture_default_str();
  app.add_option("--expert-parts", o.model.plan.expert_parts, "Sets of ranks that experts are spread over (0: the planner chooses)");
  app.add_option("--data-parallel-attention", o.model.plan.attention_parts,
                 "Parts of a stage's ranks, each with sequences and a KV cache of its own; divides the ranks of a stage")->capture_default_str();
  app.add_flag("--allow-logits", o.model.allow_logits, "Give raw logits to clients that ask (for drover verify)");
  app.add_option("--queue", o.queue, "Requests that may wait; more are refused at once")->capture_default_str()->check(CLI::Range(0, 100'000));
  app.add_option("--template", o.chat_template, "safe: special-token text in messages stays text; reference: as the reference library")
      ->capture_default_str()->check(CLI::IsMember({"safe", "reference"}));
  app.add_option("--request-timeout", o.request_timeout_s, "Seconds from a request's arrival to its end, when it brings no limit of its own")
      ->capture_default_str()->check(CLI::Range(1, 86'400));
  app.add_option("--generation-config", o.generation_config, "model: its generation_config.json gives requests their default sampling; none: it does not")
      ->capture_default_str()->check(CLI::IsMember({"model", "none"}));
  app.add_option("--drain-limit", o.drain_limit_s, "Seconds that running answers get after SIGTERM")->capture_default_str()->check(CLI::Range(0.0, 3600.0));
  app.add_option("--http-connections-per-address", o.listen.http_limits.connections_per_address, "Open connections from one address")
      ->capture_default_str()->check(CLI::Range(1, 100'000));
  app.add_option("--log-level", o.log_level, "debug, info, warning or error")->capture_default_str()->check(CLI::IsMember({"debug", "info", "warning", "error"}));
}

// The rest of the settings, after the command line.
absl::Status ReadSettings(CLI::App& app, Options& options) {
  if (!options.config.empty()) {
    DROVER_ASSIGN_OR_RETURN(const v1::Config config, ReadConfigFile(options.config));
    DROVER_RETURN_IF_ERROR(ApplyConfig(config.coordinator(), options.config, app));
  }
  if (options.model.path.empty()) return InvalidArgument("--model: found nothing, expected a directory or GGUF file (see --help)");
  return absl::OkStatus();
}

int64_t WallMilliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Whole or not at all: readers wait for the name to appear.
absl::Status WritePorts(const std::string& path, const Ports& ports) {
  if (path.empty()) return absl::OkStatus();
  const std::string part = Cat(path, ".", getpid());
  std::ofstream out(part);
  out << "{\"http\": " << ports.http << ", \"grpc\": " << ports.grpc << ", \"cluster\": " << ports.cluster << "}\n";
  out.close();
  if (!out.good() || std::rename(part.c_str(), path.c_str()) != 0) {
    unlink(part.c_str());
    return Unavailable("--ports-file ", path, ": cannot be written");
  }
  return absl::OkStatus();
}

CoordinatorSettings MakeSettings(const Options& options, const ModelInfo& info) {
  CoordinatorSettings settings{.model = info};
  settings.dispatch.waiting_max = options.queue;
  settings.request_timeout = std::chrono::seconds(options.request_timeout_s);
  // Later than any epoch of a coordinator before this one: ranks refuse older ones.
  settings.first_epoch = Epoch{static_cast<uint64_t>(WallMilliseconds())};
  std::random_device entropy;
  settings.seed = (static_cast<uint64_t>(entropy()) << 32) | entropy();
  return settings;
}

// Fields that ask for what Drover does not do are named once; answers differ from the reference's there.
void LogNotApplied(const std::vector<std::string>& fields) {
  std::string names;
  for (const std::string& field : fields) names += (names.empty() ? "" : ",") + field;
  if (!names.empty()) Log(LogLevel::kWarning, "generation_config.json asks for more than is applied", {{"not_applied", names}});
}

// The next SIGTERM or SIGINT; false when none came within `limit`.
bool WaitForSignal(const sigset_t& signals, std::chrono::milliseconds limit) {
  const timespec wait{.tv_sec = limit.count() / 1000, .tv_nsec = limit.count() % 1000 * 1'000'000};
  return sigtimedwait(&signals, nullptr, &wait) > 0;
}

// Lets running answers finish; a second signal or the limit ends them.
void Drain(Coordinator& coordinator, const sigset_t& signals, double limit_s) {
  coordinator.StartDrain();
  Log(LogLevel::kInfo, "draining", {{"in_flight", Cat(coordinator.view()->in_flight)}, {"limit_s", Cat(limit_s)}});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(limit_s);
  while (coordinator.view()->in_flight > 0 && std::chrono::steady_clock::now() < deadline)
    if (WaitForSignal(signals, std::chrono::milliseconds(100))) return;
}

absl::Status Run(Options& options, const sigset_t& signals) {
  options.model.reference_template = options.chat_template == "reference";
  options.model.generation_config = options.generation_config == "model";
  DROVER_ASSIGN_OR_RETURN(const ServedModel model, LoadServedModel(options.model, WallMilliseconds() / 1000));
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                          Server::Start(options.listen, MakeSettings(options, model.info), *model.text,
                                        MakeGroupPlanner(model.checkpoint, options.model.plan)));
  LogNotApplied(model.not_applied);
  const Ports ports = server->ports();
  DROVER_RETURN_IF_ERROR(WritePorts(options.ports_file, ports));
  Log(LogLevel::kInfo, "listening", {{"model", model.info.name}, {"http", Cat(ports.http)}, {"grpc", Cat(ports.grpc)}, {"cluster", Cat(ports.cluster)}});
  while (!WaitForSignal(signals, std::chrono::hours(1))) {
  }
  Drain(server->coordinator(), signals, options.drain_limit_s);
  server->Stop();
  Log(LogLevel::kInfo, "left");
  return absl::OkStatus();
}

}  // namespace
}  // namespace drover

int main(int argc, char** argv) {
  drover::Options options;
  CLI::App app("Plans how a model is cut over worker ranks, keeps them alive, and serves clients.", "drover-coordinator");
  app.set_version_flag("--version", "drover-coordinator " DROVER_VERSION);
  app.formatter(drover::HelpFormat(31));
  drover::AddFlags(app, options);
  app.footer("Example:\n  drover-coordinator --model demo/model --http 0.0.0.0:8000 \\\n    --cluster 0.0.0.0:8002\n");
  CLI11_PARSE(app, argc, argv);
  if (const absl::Status status = drover::ReadSettings(app, options); !status.ok()) {
    std::fprintf(stderr, "drover-coordinator: %s\n", drover::Message(status).c_str());
    return 2;
  }
  drover::StartLog("coordinator", options.log_level);
  // Blocked before any thread is made, so that only main's wait sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const absl::Status status = drover::Run(options, signals);
  if (status.ok()) return 0;
  std::fprintf(stderr, "drover-coordinator: %s\n", drover::Message(status).c_str());
  return 1;
}
