// See cluster_service.h. The library's threads convert and enqueue; a rank's next message is read when the last was dealt with.
#include "coordinator/cluster_service.h"

#include <deque>
#include <utility>

#include "coordinator/convert.h"
#include "drover/v1/cluster.grpc.pb.h"

namespace drover {
namespace {

constexpr size_t kOrdersMax = 16'384;  // waiting for one rank's socket

class RankReactor;

// What the coordinator holds of a stream. The reactor dies when the library says so; the port outlives it.
class RankPort final : public RankLink {
 public:
  explicit RankPort(RankReactor* reactor) : reactor_(reactor) {}
  void Send(const OrderMessage& message) override;
  void Close(const absl::Status& why) override;
  void ReadNext() override;
  void Detach() {
    MutexLock lock(mutex_);
    reactor_ = nullptr;
  }

 private:
  Mutex mutex_;
  RankReactor* reactor_ ABSL_GUARDED_BY(mutex_);
};

class RankReactor final : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage> {
 public:
  explicit RankReactor(Coordinator& coordinator) : coordinator_(coordinator), port_(std::make_shared<RankPort>(this)) {
    stream_ = coordinator_.RankConnected(port_);
    StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Close(grpc::Status::OK);
    absl::StatusOr<RankMessage> message = FromProto(incoming_);
    if (!message.ok()) return Close(ToGrpc(message.status()));
    coordinator_.RankSaid(stream_, *std::move(message));
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (ok) {
      orders_.pop_front();
    } else {
      orders_.clear();
      if (!closing_) closing_ = grpc::Status::OK;
    }
    WriteOrFinish();
  }

  void OnDone() override {
    port_->Detach();
    coordinator_.RankGone(stream_);
    delete this;
  }

  void OnCancel() override { Close(grpc::Status(grpc::StatusCode::CANCELLED, "the rank left")); }

  void Enqueue(v1::CoordinatorMessage message) {
    MutexLock lock(mutex_);
    if (closing_) return;
    if (orders_.size() >= kOrdersMax) {
      closing_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the rank does not read its orders");
    } else {
      orders_.push_back(std::move(message));
    }
    WriteOrFinish();
  }

  void Close(grpc::Status status) {
    MutexLock lock(mutex_);
    if (!closing_) closing_ = std::move(status);
    WriteOrFinish();
  }

  void ReadOn() {
    MutexLock lock(mutex_);
    if (!finished_) StartRead(&incoming_);
  }

 private:
  void WriteOrFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!orders_.empty()) {
      writing_ = true;
      StartWrite(&orders_.front());
    } else if (closing_) {
      finished_ = true;
      Finish(*closing_);
    }
  }

  Coordinator& coordinator_;
  const std::shared_ptr<RankPort> port_;
  StreamId stream_{};
  v1::WorkerMessage incoming_;
  Mutex mutex_;
  std::deque<v1::CoordinatorMessage> orders_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> closing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

void RankPort::Send(const OrderMessage& message) {
  v1::CoordinatorMessage out = ToProto(message);
  MutexLock lock(mutex_);
  if (reactor_ != nullptr) reactor_->Enqueue(std::move(out));
}

void RankPort::Close(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (reactor_ != nullptr) reactor_->Close(ToGrpc(why));
}

void RankPort::ReadNext() {
  MutexLock lock(mutex_);
  if (reactor_ != nullptr) reactor_->ReadOn();
}

class ClusterService final : public v1::Cluster::CallbackService {
 public:
  explicit ClusterService(Coordinator& coordinator) : coordinator_(coordinator) {}
  grpc::ServerBidiReactor<v1::WorkerMessage, v1::CoordinatorMessage>* Join(grpc::CallbackServerContext*) override {
    return new RankReactor(coordinator_);  // deletes itself in OnDone
  }

 private:
  Coordinator& coordinator_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeClusterService(Coordinator& coordinator) {
  return std::make_unique<ClusterService>(coordinator);
}

}  // namespace drover
