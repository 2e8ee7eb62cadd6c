// See preflight.h.
#include "cli/preflight.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/local_cluster.h"
#include "coordinator/planner.h"
#include "models/checkpoint/checkpoint.h"

namespace drover {
namespace {

absl::Status TryListening(std::string_view flag, const std::string& address, const addrinfo& where) {
  const int socket_fd = socket(where.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return Internal(flag, " ", address, ": ", strerror(errno));
  const int on = 1;
  setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free = bind(socket_fd, where.ai_addr, where.ai_addrlen) == 0 && listen(socket_fd, 1) == 0;
  const int error = errno;
  close(socket_fd);
  if (free) return absl::OkStatus();
  if (error == EADDRINUSE) return FailedPrecondition(flag, " ", address, ": the port is in use; name another, or 0 for any free one");
  return FailedPrecondition(flag, " ", address, ": cannot listen: ", strerror(error));
}

// As the coordinator will plan once the ranks of this machine have joined.
absl::Status CheckPlan(const Checkpoint& checkpoint, const ServeOptions& options) {
  const PlanOptions wish{.model = options.name, .ranks = options.ranks, .stages = options.pipeline,
                         .attention_parts = options.attention_parts, .max_model_len = options.max_model_len,
                         .kv_tokens = options.kv_tokens, .max_step_tokens = options.max_step_tokens, .threads = options.threads,
                         .memory_limit = options.memory_bytes, .compute = options.compute, .kv = options.kv};
  // A GPU's memory is known to its rank alone.
  if (options.device != "cpu") return Annotate(MakePlan(checkpoint, wish, {}).status(), options.model);
  const RankResources here{.host = "here", .memory_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE),
                           .cores = sysconf(_SC_NPROCESSORS_ONLN)};
  const Inventory inventory{.ranks = std::vector<RankResources>(static_cast<size_t>(options.ranks), here)};
  return Annotate(MakePlan(checkpoint, wish, inventory).status(), options.model);
}

}  // namespace

absl::Status CheckAddress(std::string_view flag, const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size())
    return InvalidArgument(flag, ": found \"", address, "\", expected HOST:PORT");
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5 || std::stol(port) > 65535)
    return InvalidArgument(flag, ": found port \"", port, "\", expected 0 to 65535");
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return InvalidArgument(flag, ": host \"", host, "\": ", gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  return TryListening(flag, address, *found);
}

absl::Status CheckBeforeServing(const ServeOptions& options) {
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.model));
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return FailedPrecondition(options.model, ": holds a config but no weights, expected *.safetensors beside it");
  DROVER_RETURN_IF_ERROR(CheckPlan(checkpoint, options));
  DROVER_RETURN_IF_ERROR(CheckAddress("--http", options.http));
  DROVER_RETURN_IF_ERROR(CheckAddress("--grpc", options.grpc));
  return CheckAddress("--cluster", options.cluster);
}

}  // namespace drover
