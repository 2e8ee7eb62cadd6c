// A listening gRPC server under limits: message sizes, streams, keepalive, handshake time, connection age.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>

#include "common/status.h"

namespace drover {

enum class GrpcAudience { kClients, kRanks };

class GrpcServer {
 public:
  // `address` is HOST:PORT, port 0 for any; `flag` names it in the error when it cannot be had. Clients get the health service,
  // which says NOT_SERVING until told otherwise, and reflection. Make the server for ranks first: the library adds both to every
  // server made after the first request for them.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Listen(const std::string& flag, const std::string& address, GrpcAudience audience,
                                                            std::unique_ptr<grpc::Service> service);
  ~GrpcServer();

  int port() const;
  // One truth for "" and drover.v1.Drover. Clients' servers only.
  void SetServing(bool serving);
  // Ends what still runs after `grace_ms`.
  void Stop(int grace_ms);

 private:
  struct Parts;
  explicit GrpcServer(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace drover
