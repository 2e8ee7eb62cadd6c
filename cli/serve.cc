// See serve.h.
#include "cli/serve.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "cli/plan.h"
#include "cli/progress.h"
#include "common/json.h"

namespace drover {
namespace {

constexpr Duration kLookEvery = std::chrono::seconds(1);
constexpr Duration kAskTimeout = std::chrono::milliseconds(500);

size_t TerminalColumns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

// Written aside and renamed: who waits for the file never reads half of it.
absl::Status WriteReadyFile(const std::string& path, const Addresses& addresses) {
  if (path.empty()) return absl::OkStatus();
  const Json ready = {{"http", addresses.http}, {"grpc", addresses.grpc}, {"cluster", addresses.cluster}, {"pid", getpid()}};
  std::ofstream(path + ".partial") << ready.dump() << "\n";
  if (std::rename((path + ".partial").c_str(), path.c_str()) != 0) return FailedPrecondition("--ready-file ", path, ": cannot write it");
  return absl::OkStatus();
}

void PrintReady(const LocalCluster& cluster, const std::string& model, const ServeOptions& options, Duration took) {
  std::printf("%s is ready on %ld rank%s after %.1f s\n  HTTP  http://%s/v1\n  gRPC  %s\n", model.c_str(), static_cast<long>(options.ranks),
              options.ranks == 1 ? "" : "s", Seconds(took), cluster.addresses().http.c_str(), cluster.addresses().grpc.c_str());
  std::fflush(stdout);
}

// Until a stop signal (OK) or a child that failed for good. Says when the model goes away and comes back.
absl::Status Supervise(LocalCluster& cluster) {
  bool ready = true;
  while (cluster.supervisor().stop_requests() == 0) {
    DROVER_RETURN_IF_ERROR(cluster.supervisor().Turn(kLookEvery));
    const auto now = cluster.client().GetCluster(kAskTimeout);
    const bool ready_now = now.ok() && now->ready();
    if (ready_now != ready) std::cerr << "drover: the model is " << (ready_now ? "ready again" : "not ready") << std::endl;
    ready = ready_now;
  }
  return absl::OkStatus();
}

absl::Status Serve(const ServeOptions& options, const std::string& ready_file) {
  const TimePoint started = SystemClock().Now();
  if (!ready_file.empty()) unlink(ready_file.c_str());  // one of an earlier run says nothing of this
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<LocalCluster> cluster, LocalCluster::Start(options));
  const absl::Status ready = WaitReadyWithProgress(*cluster);
  if (absl::IsCancelled(ready)) return absl::OkStatus();  // Ctrl-C while loading
  DROVER_RETURN_IF_ERROR(ready);
  DROVER_ASSIGN_OR_RETURN(const v1::GetClusterResponse state, cluster->client().GetCluster(kAskTimeout * 10));
  cluster->KeepAlive();
  PrintReady(*cluster, state.model(), options, SystemClock().Now() - started);
  DROVER_RETURN_IF_ERROR(WriteReadyFile(ready_file, cluster->addresses()));
  const absl::Status served = Supervise(*cluster);
  if (!ready_file.empty()) unlink(ready_file.c_str());
  DROVER_RETURN_IF_ERROR(served);
  std::cerr << "drover: stopping" << std::endl;
  cluster->Stop();
  return absl::OkStatus();
}

}  // namespace

absl::Status WaitReadyWithProgress(LocalCluster& cluster) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const absl::Status status = cluster.WaitReady([terminal](const v1::GetClusterResponse& state) {
    if (terminal) std::cerr << "\r\033[K" << ProgressLine(state, TerminalColumns() - 1) << std::flush;
  });
  if (terminal) std::cerr << "\r\033[K" << std::flush;
  return status;
}

void AddMemoryOption(CLI::App& command, int64_t& bytes, const std::string& help) {
  const auto refuse = [](const std::string& text) { return Message(ParseBytes(text).status()); };  // empty: a good size
  command.add_option_function<std::string>("--memory", [&bytes](const std::string& text) { bytes = ParseBytes(text).value_or(0); }, help)
      ->check(CLI::Validator(refuse, "SIZE"))->type_name("");
}

CLI::Option* AddAttentionOption(CLI::App& command, std::string& attention) {
  return command.add_option("--attention", attention, "Kernels of a GPU's attention: own, or flashinfer (for a cache in bf16)")
      ->check(CLI::IsMember({"own", "flashinfer"}))->capture_default_str();
}

void AddGroupOptions(CLI::App& command, ServeOptions& options) {
  command.add_option("--ranks", options.ranks, "Worker ranks to cut the model over")->check(CLI::Range(int64_t{1}, kRanksMax))->capture_default_str();
  command.add_option("--pipeline", options.pipeline, "Stages of layers; divides the ranks")
      ->check(CLI::Range(int64_t{1}, kRanksMax))->capture_default_str();
  command.add_option("--data-parallel-attention", options.attention_parts, "Runs of ranks that serve and cache sequences of their own")
      ->check(CLI::Range(int64_t{1}, kRanksMax))->capture_default_str();
  command.add_option("--threads", options.threads, "Threads of each rank (cores / ranks)")->check(CLI::Range(1, 1024));
  command.add_option("--max-model-len", options.max_model_len, "Tokens of prompt and answer (the model's)")->check(CLI::PositiveNumber);
  command.add_option("--kv-tokens", options.kv_tokens, "Tokens the cache holds for all requests")->check(CLI::PositiveNumber);
  command.add_option("--device", options.device, "Where ranks compute: cpu, cuda (a GPU each), cuda:N")->capture_default_str();
  AddAttentionOption(command, options.attention);
  command.add_option("--kv", options.kv, "Numbers of the cache: f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  command.add_option("--compute", options.compute, "Numbers of matrix products: f32 or bf16")
      ->check(CLI::IsMember({"f32", "bf16"}))->capture_default_str();
  command.add_option("--max-step-tokens", options.max_step_tokens, "Tokens of one step, over all requests")->check(CLI::PositiveNumber);
  AddMemoryOption(command, options.memory_bytes, "Memory that a rank may use, e.g. 8GiB");
  command.add_option("--name", options.name, "Name shown to clients");
  command.add_option("--log-level", options.log_level, "What children log: debug to error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))->capture_default_str();
}

void AddServeCommand(CLI::App& app, const Finish& finish) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model on this machine until Ctrl-C");
  const auto options = std::make_shared<ServeOptions>();
  const auto ready_file = std::make_shared<std::string>();
  command->add_option("model", options->model, "Directory of safetensors, or a .gguf file")->required();
  AddGroupOptions(*command, *options);
  command->add_option("--http", options->http, "OpenAI-compatible HTTP; port 0 takes any")->capture_default_str();
  command->add_option("--grpc", options->grpc, "gRPC for clients")->capture_default_str();
  command->add_option("--cluster", options->cluster, "gRPC for ranks")->capture_default_str();
  command->add_flag("--allow-logits", options->allow_logits, "Clients may ask for logits, as drover verify does");
  command->add_option("--generation-config", options->generation_config, "Default sampling of requests: the model's, or none")
      ->check(CLI::IsMember({"model", "none"}))->capture_default_str();
  command->add_option("--ready-file", *ready_file, "Write the addresses there when the model answers");
  command->footer("Examples:\n  drover serve demo/model --ranks 2\n  drover serve SmolLM2-135M-Instruct.Q4_1.gguf --ranks 4 --http 0.0.0.0:8000\n");
  command->callback([options, ready_file, finish] { finish(Report(Serve(*options, *ready_file))); });
}

}  // namespace drover
