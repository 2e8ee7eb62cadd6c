// See grpc_server.h.
#include "coordinator/grpc_server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "common/log.h"

namespace drover {
namespace {

constexpr int kClientMessageBytes = 4 << 20;
constexpr int kRankMessageBytes = 64 << 20;  // token news with logits rows
constexpr int kStreamsPerClient = 100;
constexpr int kStreamWindowBytes = 64 << 10;

void SetCommonLimits(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port in use is an error, not a second listener
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
}

void SetClientLimits(grpc::ServerBuilder& builder) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  builder.SetMaxReceiveMessageSize(kClientMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerClient);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, 30 * 60'000);  // for new calls; what streams has its own deadline
}

// The library's own lines would stand beside our one clear error.
void LogOfLibrary(gpr_log_func_args* line) { Log(LogLevel::kDebug, "grpc", {{"message", line->message}}); }

}  // namespace

struct GrpcServer::Parts {
  std::unique_ptr<grpc::Service> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

GrpcServer::GrpcServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
GrpcServer::~GrpcServer() { Stop(0); }

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Listen(const std::string& flag, const std::string& address,
                                                               GrpcAudience audience, std::unique_ptr<grpc::Service> service) {
  gpr_set_log_function(LogOfLibrary);
  auto parts = std::make_unique<Parts>();
  parts->service = std::move(service);
  grpc::ServerBuilder builder;
  SetCommonLimits(builder);
  if (audience == GrpcAudience::kClients) {
    SetClientLimits(builder);
  } else {
    builder.SetMaxReceiveMessageSize(kRankMessageBytes);
  }
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &parts->port);
  builder.RegisterService(parts->service.get());
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || parts->port == 0)
    return Unavailable(flag, " ", address, ": cannot listen there (in use, or not an address of this machine); choose another port");
  std::unique_ptr<GrpcServer> made(new GrpcServer(std::move(parts)));
  made->SetServing(false);
  return made;
}

int GrpcServer::port() const { return parts_->port; }

void GrpcServer::SetServing(bool serving) {
  if (grpc::HealthCheckServiceInterface* health = parts_->server->GetHealthCheckService()) {
    health->SetServingStatus("", serving);
    health->SetServingStatus("drover.v1.Drover", serving);
  }
}

void GrpcServer::Stop(int grace_ms) {
  if (parts_->server == nullptr) return;
  parts_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(grace_ms));
  parts_->server->Wait();
  parts_->server = nullptr;
}

}  // namespace drover
