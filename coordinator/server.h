// The coordinator with its sockets: HTTP and gRPC for clients, gRPC for ranks. All three listen, or none.
#pragma once

#include <memory>
#include <string>

#include "coordinator/coordinator.h"
#include "coordinator/http/http_server.h"

namespace drover {

struct ListenConfig {
  std::string http = "127.0.0.1:8000", grpc = "127.0.0.1:8001", cluster = "127.0.0.1:8002";
  HttpLimits http_limits;
};

struct Ports {
  int http = 0, grpc = 0, cluster = 0;
};

class Server {
 public:
  // `text` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ListenConfig& listen, const CoordinatorSettings& settings,
                                                       const TextCodec& text, GroupPlanner planner);
  ~Server();

  Ports ports() const;
  Coordinator& coordinator();
  // Ends what still runs with an error, then closes every socket. StartDrain of the coordinator comes before.
  void Stop();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace drover
