// See health.h.
#include "cli/health.h"

#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <memory>

#include "cli/api_client.h"

namespace drover {
namespace {

absl::StatusOr<v1::GetClusterResponse> AskCluster(const HealthQuestion& question) {
  ApiClient client(question.coordinator);
  absl::StatusOr<v1::GetClusterResponse> cluster = client.GetCluster(question.timeout);
  if (cluster.ok()) return cluster;
  return Unavailable("coordinator ", question.coordinator, ": ", Message(cluster.status()));
}

std::string Describe(const v1::GroupStatus& group) {
  const std::string detail = group.detail().empty() ? "" : Cat(" (", group.detail(), ")");
  return Cat("group ", group.name(), ": ", group.state(), detail);
}

absl::StatusOr<std::string> JudgeGroup(const HealthQuestion& question, const v1::GetClusterResponse& cluster) {
  for (const v1::GroupStatus& group : cluster.groups()) {
    if (group.name() != question.group) continue;
    const bool good = question.check == "ready" ? group.state() == "ready" : group.state() != "lost";
    if (good) return Describe(group);
    return Unavailable(Describe(group));
  }
  return Unavailable("group ", question.group, ": has not joined coordinator ", question.coordinator);
}

int Run(const HealthQuestion& question) {
  const absl::StatusOr<v1::GetClusterResponse> cluster = AskCluster(question);
  const absl::StatusOr<std::string> verdict = JudgeHealth(question, cluster);
  if (question.json && cluster.ok()) {
    std::string text;
    if (!google::protobuf::util::MessageToJsonString(*cluster, &text).ok()) return 1;
    std::cout << text << "\n";
  } else if (verdict.ok()) {
    std::cout << *verdict << "\n";
  }
  if (!verdict.ok()) std::cerr << "drover health: " << Message(verdict.status()) << "\n";
  return verdict.ok() ? 0 : 1;
}

}  // namespace

absl::StatusOr<std::string> JudgeHealth(const HealthQuestion& question, const absl::StatusOr<v1::GetClusterResponse>& cluster) {
  const bool alive_asked = question.check == "alive";
  if (!cluster.ok()) {
    if (alive_asked && !question.group.empty()) return Cat("group ", question.group, ": unknown, ", Message(cluster.status()));
    return cluster.status();
  }
  if (!question.group.empty()) return JudgeGroup(question, *cluster);
  if (alive_asked || cluster->ready()) return Cat(cluster->model(), cluster->ready() ? ": ready" : ": not ready");
  std::string why = cluster->groups().empty() ? ", no group has joined" : "";
  for (const v1::GroupStatus& group : cluster->groups()) why += Cat(", ", Describe(group));
  return Unavailable(cluster->model(), ": not ready", why);
}

void AddHealthCommand(CLI::App& app, const std::function<void(int)>& finish) {
  CLI::App* command = app.add_subcommand("health", "Ask whether a coordinator, or one group, is well; exit code 0 or 1");
  const auto question = std::make_shared<HealthQuestion>();
  const auto milliseconds = std::make_shared<int64_t>(question->timeout.count());
  question->coordinator = "127.0.0.1:8001";
  command->add_option("--coordinator", question->coordinator, "gRPC address HOST:PORT")->envname("DROVER_COORDINATOR_GRPC");
  command->add_option("--group", question->group, "Ask about this group")->envname("DROVER_GROUP");
  command->add_option("--check", question->check, "Whether it answers, or need not be restarted")
      ->check(CLI::IsMember({"ready", "alive"}));
  command->add_option("--timeout-ms", *milliseconds, "Wait so long for the answer")->check(CLI::Range(1, 600000));
  command->add_flag("--json", question->json, "Print the whole state as JSON");
  command->callback([question, milliseconds, finish] {
    question->timeout = std::chrono::milliseconds(*milliseconds);
    finish(Run(*question));
  });
}

}  // namespace drover
