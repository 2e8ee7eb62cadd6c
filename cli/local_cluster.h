// A coordinator and one group of ranks on this machine, supervised: what serve, chat, verify and bench stand on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cli/api_client.h"
#include "cli/supervisor.h"
#include "cli/temp_dir.h"
#include "common/status.h"

namespace drover {

struct ServeOptions {
  std::string model;                       // checkpoint directory or file
  std::string name;                        // shown to clients; empty: from the path
  std::string http = "127.0.0.1:8000", grpc = "127.0.0.1:8001", cluster = "127.0.0.1:8002";
  int64_t ranks = 2;
  int64_t pipeline = 1;                    // stages; divides ranks
  int64_t attention_parts = 1;             // divides the ranks of a stage
  int64_t threads = 0;                     // of each rank; 0: cores / ranks
  int64_t max_model_len = 0;               // tokens; 0: the model's
  int64_t kv_tokens = 0;                   // 0: the planner chooses
  std::string device = "cpu";              // of the ranks: cpu, cuda or cuda:N
  std::string attention = "own";           // kernels of a GPU: own or flashinfer
  std::string kv = "f32", compute = "f32"; // or bf16
  int64_t max_step_tokens = 0;             // 0: the planner chooses
  int64_t memory_bytes = 0;                // that a rank may use; 0: what the machine has
  bool allow_logits = false;
  std::string generation_config = "model";  // or "none": requests do not take their defaults from it
  std::string log_level = "warning";
};

// HOST:PORT of each socket, with the ports that were really taken.
struct Addresses {
  std::string http, grpc, cluster;
};

// The coordinator's command line. `taken` replaces the asked addresses once they are known, so that a restart keeps its ports.
Command CoordinatorLine(const std::string& program, const ServeOptions& options, const Addresses& taken, const std::string& ports_file);

// Reads the ports file of a coordinator: JSON with members http, grpc and cluster, each a port. Hosts are those asked for.
absl::StatusOr<Addresses> ReadPorts(const std::string& ports_file, const ServeOptions& options);

class LocalCluster {
 public:
  // Checks what can be checked beforehand, starts the coordinator, waits until it listens, starts the group.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const ServeOptions& options);
  ~LocalCluster();

  const Addresses& addresses() const { return addresses_; }
  ApiClient& client() { return *client_; }
  Supervisor& supervisor() { return supervisor_; }

  // Waits until the model answers; `on_progress` sees every state on the way. kCancelled after a stop signal.
  absl::Status WaitReady(const std::function<void(const v1::GetClusterResponse&)>& on_progress);

  // From now on, children that fail are started again.
  void KeepAlive() { supervisor_.RestartsFromNow(); }

  // Runs `work` (which uses client()) on another thread and supervises meanwhile. A stop signal cancels the client's call.
  absl::Status While(const std::function<absl::Status()>& work);

  // Lets answers finish for a few seconds, then ends everything; at most 9 s.
  void Stop();

 private:
  LocalCluster(const ServeOptions& options, Supervisor supervisor, TempDir folder)
      : options_(options), folder_(std::move(folder)), supervisor_(std::move(supervisor)) {}
  absl::Status StartCoordinator();
  absl::Status StartGroup();
  std::string WhyNotReady();
  bool Idle();
  void WaitForEnd(size_t child, Duration patience);

  ServeOptions options_;
  TempDir folder_;
  Supervisor supervisor_;
  Addresses addresses_;
  std::unique_ptr<ApiClient> client_;
  size_t coordinator_ = 0, group_ = 0;
  bool group_started_ = false;
};

}  // namespace drover
