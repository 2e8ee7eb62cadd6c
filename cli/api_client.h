// A client of the public gRPC API, as everybody else's would be. Any thread may call and cancel.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "common/clock.h"
#include "common/mutex.h"
#include "common/status.h"
#include "drover/v1/api.pb.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace drover {

class ApiClient {
 public:
  explicit ApiClient(const std::string& address);  // HOST:PORT
  ~ApiClient();

  absl::StatusOr<v1::GetClusterResponse> GetCluster(Duration timeout);
  absl::StatusOr<v1::ListModelsResponse> ListModels(Duration timeout);
  // Calls `on_response` for each message of the stream; its error cancels the call and is returned.
  absl::Status Generate(const v1::GenerateRequest& request, Duration timeout,
                        const std::function<absl::Status(const v1::GenerateResponse&)>& on_response);
  // Ends the calls under way with kCancelled.
  void Cancel();

 private:
  class Call;

  const std::shared_ptr<grpc::Channel> channel_;
  Mutex mutex_;
  std::set<grpc::ClientContext*> running_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover
