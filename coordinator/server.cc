// See server.h.
#include "coordinator/server.h"

#include <utility>

#include "coordinator/api_service.h"
#include "coordinator/cluster_service.h"
#include "coordinator/grpc_server.h"
#include "coordinator/http/openai_response.h"
#include "coordinator/http/routes.h"

namespace drover {
namespace {

constexpr int kStopGraceMs = 2'000;

int64_t WallSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

struct Server::Parts {
  Parts(const CoordinatorSettings& settings, const TextCodec& text, GroupPlanner planner)
      : metrics(settings.model.name),
        coordinator(settings, {text, metrics, clock, std::move(planner), [this](bool ready) { SetServing(ready); }}) {}

  void SetServing(bool ready) {
    MutexLock lock(mutex);
    if (api != nullptr) api->SetServing(ready);
  }

  SystemClock clock;
  Metrics metrics;
  Mutex mutex;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<GrpcServer> api ABSL_GUARDED_BY(mutex);
  std::unique_ptr<GrpcServer> cluster;
  Coordinator coordinator;  // last: its loop calls SetServing
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() { Stop(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ListenConfig& listen, const CoordinatorSettings& settings,
                                                      const TextCodec& text, GroupPlanner planner) {
  for (const auto& [flag, address] : {std::pair{"--grpc", listen.grpc}, std::pair{"--cluster", listen.cluster}})
    DROVER_RETURN_IF_ERROR(ParseHostPort(flag, address).status());
  std::unique_ptr<Server> server(new Server(std::make_unique<Parts>(settings, text, std::move(planner))));
  Parts& parts = *server->parts_;
  DROVER_ASSIGN_OR_RETURN(parts.http, HttpServer::Listen("--http", listen.http, listen.http_limits, ErrorBody));
  DROVER_ASSIGN_OR_RETURN(parts.cluster, GrpcServer::Listen("--cluster", listen.cluster, GrpcAudience::kRanks, MakeClusterService(parts.coordinator)));
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<GrpcServer> api,
                          GrpcServer::Listen("--grpc", listen.grpc, GrpcAudience::kClients, MakeApiService(parts.coordinator)));
  {
    MutexLock lock(parts.mutex);
    parts.api = std::move(api);
    parts.api->SetServing(parts.coordinator.view()->ready);
  }
  parts.http->Serve(MakeRoutes(parts.coordinator, WallSeconds));
  return server;
}

Ports Server::ports() const {
  MutexLock lock(parts_->mutex);
  return {parts_->http->port(), parts_->api->port(), parts_->cluster->port()};
}

Coordinator& Server::coordinator() { return parts_->coordinator; }

void Server::Stop() {
  parts_->coordinator.StartDrain();
  parts_->coordinator.CancelAll(Unavailable("the server is shutting down"));
  std::unique_ptr<GrpcServer> api;
  {
    MutexLock lock(parts_->mutex);
    api = std::move(parts_->api);
  }
  if (api != nullptr) api->Stop(kStopGraceMs);
  parts_->coordinator.ReleaseRanks();
  if (parts_->cluster != nullptr) parts_->cluster->Stop(0);
  if (parts_->http != nullptr) parts_->http->Stop();
  parts_->coordinator.Stop();
  parts_->cluster = nullptr;
}

}  // namespace drover
