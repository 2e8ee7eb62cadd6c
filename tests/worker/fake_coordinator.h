// FakeCoordinator: the other end of ranks' streams, played by a test. It records what ranks say and sends what it is told.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "drover/v1/cluster.grpc.pb.h"

namespace drover {

class FakeCoordinator final : public v1::Cluster::Service {
 public:
  using Wire = grpc::ServerReaderWriter<v1::CoordinatorMessage, v1::WorkerMessage>;

  // Port 0: any free one.
  explicit FakeCoordinator(int port = 0) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeCoordinator() override { Stop(); }
  // All streams break.
  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
  }
  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // Every later hello is answered with this.
  void RefuseWith(grpc::Status status) {
    MutexLock lock(mutex_);
    refusal_ = std::move(status);
  }

  void Send(int rank, const v1::CoordinatorMessage& message) {
    MutexLock lock(mutex_);
    if (wires_.contains(rank)) wires_[rank]->Write(message);
  }
  void SendAll(const v1::CoordinatorMessage& message) {
    MutexLock lock(mutex_);
    for (auto& [rank, wire] : wires_) wire->Write(message);
  }

  // The messages of a rank so far.
  std::vector<v1::WorkerMessage> Heard(int rank) {
    MutexLock lock(mutex_);
    return heard_[rank];
  }
  // Waits until `count` messages of the rank satisfy the condition.
  bool WaitFor(int rank, const std::function<bool(const v1::WorkerMessage&)>& condition, int64_t count = 1) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    MutexLock lock(mutex_);
    while (true) {
      int64_t found = 0;
      for (const v1::WorkerMessage& message : heard_[rank]) found += condition(message);
      if (found >= count) return true;
      if (!changed_.WaitUntil(mutex_, deadline)) return false;
    }
  }

 private:
  grpc::Status Join(grpc::ServerContext*, Wire* wire) override {
    v1::WorkerMessage message;
    int rank = -1;
    while (wire->Read(&message)) {
      MutexLock lock(mutex_);
      if (!refusal_.ok()) return refusal_;
      if (message.has_hello()) {
        rank = message.hello().rank();
        wires_[rank] = wire;
        v1::CoordinatorMessage ping;
        ping.mutable_ping();
        wire->Write(ping);
      }
      heard_[rank].push_back(message);
      changed_.NotifyAll();
    }
    MutexLock lock(mutex_);
    if (wires_[rank] == wire) wires_.erase(rank);
    return grpc::Status::OK;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  std::map<int, Wire*> wires_ ABSL_GUARDED_BY(mutex_);
  std::map<int, std::vector<v1::WorkerMessage>> heard_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace drover
