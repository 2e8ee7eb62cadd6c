// See api_client.h.
#include "cli/api_client.h"

#include <grpcpp/grpcpp.h>

#include "drover/v1/api.grpc.pb.h"

namespace drover {
namespace {

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace

// One call's context, known to Cancel while it runs.
class ApiClient::Call {
 public:
  Call(ApiClient& client, Duration timeout) : client_(client) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(Milliseconds(timeout)));
    MutexLock lock(client_.mutex_);
    client_.running_.insert(&context_);
  }
  ~Call() {
    MutexLock lock(client_.mutex_);
    client_.running_.erase(&context_);
  }
  grpc::ClientContext* context() { return &context_; }

 private:
  ApiClient& client_;
  grpc::ClientContext context_;
};

ApiClient::ApiClient(const std::string& address)
    : channel_([&address] {
        grpc::ChannelArguments arguments;
        arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);  // a coordinator on this machine comes up soon
        arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
        arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
        return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
      }()) {}
ApiClient::~ApiClient() = default;

absl::StatusOr<v1::GetClusterResponse> ApiClient::GetCluster(Duration timeout) {
  Call call(*this, timeout);
  v1::GetClusterResponse response;
  DROVER_RETURN_IF_ERROR(FromGrpc(v1::Drover::NewStub(channel_)->GetCluster(call.context(), {}, &response)));
  return response;
}

absl::StatusOr<v1::ListModelsResponse> ApiClient::ListModels(Duration timeout) {
  Call call(*this, timeout);
  v1::ListModelsResponse response;
  DROVER_RETURN_IF_ERROR(FromGrpc(v1::Drover::NewStub(channel_)->ListModels(call.context(), {}, &response)));
  return response;
}

absl::Status ApiClient::Generate(const v1::GenerateRequest& request, Duration timeout,
                                 const std::function<absl::Status(const v1::GenerateResponse&)>& on_response) {
  Call call(*this, timeout);
  const auto stub = v1::Drover::NewStub(channel_);
  const auto reader = stub->Generate(call.context(), request);
  v1::GenerateResponse response;
  absl::Status refused;
  while (refused.ok() && reader->Read(&response)) refused = on_response(response);
  if (!refused.ok()) {
    call.context()->TryCancel();
    while (reader->Read(&response)) {}
  }
  const grpc::Status status = reader->Finish();
  return refused.ok() ? FromGrpc(status) : refused;
}

void ApiClient::Cancel() {
  MutexLock lock(mutex_);
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

}  // namespace drover
