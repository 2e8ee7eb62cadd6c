// `drover health`: one question to a running coordinator, answered by the exit code; what probes of containers call.
#pragma once

#include <CLI/CLI.hpp>

#include <chrono>
#include <functional>
#include <string>

#include "common/status.h"
#include "drover/v1/api.pb.h"

namespace drover {

struct HealthQuestion {
  std::string coordinator;      // its gRPC address
  std::string group;            // empty: the coordinator as a whole
  std::string check = "ready";  // ready: the model answers through it; alive: nothing speaks for starting it again
  std::chrono::milliseconds timeout{3000};
  bool json = false;            // print the whole state instead of one line
};

// The line to print; an error is what is wrong. `cluster` is the coordinator's answer or why there was none. A coordinator that
// is silent says nothing against a group, so a group counts as alive then.
absl::StatusOr<std::string> JudgeHealth(const HealthQuestion& question, const absl::StatusOr<v1::GetClusterResponse>& cluster);

// Adds the subcommand. `finish` takes the exit code: 0 healthy, 1 not.
void AddHealthCommand(CLI::App& app, const std::function<void(int)>& finish);

}  // namespace drover
