// See steps_service.h. Callback API with raw bytes: no thread per follower, one serialisation per step.
#include "worker/steps_service.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <map>
#include <optional>

#include "common/mutex.h"
#include "drover/v1/steps.grpc.pb.h"
#include "worker/convert.h"

namespace drover {
namespace {

constexpr size_t kStepsAhead = 64;             // steps that a follower may lag behind its leader
constexpr int kHelloBytes = 4 << 10;           // a follower sends nothing larger
constexpr std::chrono::seconds kGoodbye{2};    // for the last message to leave
using grpc::ByteBuffer;

ByteBuffer Bytes(const v1::StepMessage& message) {
  bool own = false;
  ByteBuffer bytes;
  grpc::SerializationTraits<v1::StepMessage>::Serialize(message, &bytes, &own).IgnoreError();
  return bytes;
}

class Follower;

// What reactors need of the service.
class Roll {
 public:
  virtual ~Roll() = default;
  virtual grpc::Status Accept(const v1::FollowerHello& hello, Follower* follower) = 0;
  virtual void Gone(Follower* follower) = 0;
};

// One follower's stream. Deletes itself when the library is done with it.
class Follower final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit Follower(Roll& roll) : roll_(roll) { StartRead(&incoming_); }

  // False when the follower lags too far behind, or its stream has ended.
  bool Send(const ByteBuffer& bytes) {
    MutexLock lock(mutex_);
    if (finishing_ || queue_.size() >= kStepsAhead) return false;
    queue_.push_back(bytes);
    WriteNext();
    return true;
  }

  // Ends the stream after what is queued.
  void Close(grpc::Status status) {
    MutexLock lock(mutex_);
    if (!closing_) closing_ = std::move(status);
    WriteNext();
  }

  void OnReadDone(bool ok) override {
    if (!ok || accepted_) return Leave("a follower says hello and nothing else");
    v1::FollowerMessage message;
    if (!grpc::SerializationTraits<v1::FollowerMessage>::Deserialize(&incoming_, &message).ok() || !message.has_hello())
      return Close({grpc::StatusCode::INVALID_ARGUMENT, "found no follower hello"});
    if (grpc::Status status = roll_.Accept(message.hello(), this); !status.ok()) return Close(std::move(status));
    accepted_ = true;
    StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(mutex_);
      writing_ = false;
      queue_.pop_front();
      if (!ok) queue_.clear();
      WriteNext();
    }
    if (!ok) Leave("the follower's stream is broken");
  }
  void OnCancel() override { Leave("the follower left"); }
  void OnDone() override {
    roll_.Gone(this);
    delete this;
  }

 private:
  void Leave(const char* why) {
    roll_.Gone(this);
    Close({grpc::StatusCode::CANCELLED, why});
  }
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finishing_) return;
    if (!queue_.empty()) {
      writing_ = true;
      StartWrite(&queue_.front());
    } else if (closing_) {
      finishing_ = true;
      Finish(*closing_);
    }
  }

  Roll& roll_;
  ByteBuffer incoming_;
  bool accepted_ = false;  // reads come one after the other
  Mutex mutex_;
  std::deque<ByteBuffer> queue_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> closing_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finishing_ ABSL_GUARDED_BY(mutex_) = false;
};

class GrpcStepsService final : public StepsService,
                               private Roll,
                               private v1::Steps::WithRawCallbackMethod_Follow<v1::Steps::Service> {
 public:
  ~GrpcStepsService() override {
    EndEpoch(Farewell::kNone);
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() + kGoodbye);
    server_->Wait();
    server_.reset();  // before what its callbacks use
  }

  absl::Status Start(const std::string& listen) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(kHelloBytes);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port in use is an error, not a second listener
    // Followers wait for hours on an idle stream and ask now and then whether the leader lives.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 3000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
    builder.RegisterService(static_cast<v1::Steps::Service*>(this));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) return Unavailable("cannot listen for steps on ", listen);
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  void BeginEpoch(Epoch epoch, std::string nonce, int64_t ranks, std::function<void(int64_t)> on_lost) override {
    MutexLock lock(mutex_);
    epoch_ = epoch;
    nonce_ = std::move(nonce);
    ranks_ = ranks;
    on_lost_ = std::move(on_lost);
  }

  absl::Status WaitForFollowers(std::chrono::steady_clock::time_point deadline) override {
    MutexLock lock(mutex_);
    while (static_cast<int64_t>(followers_.size()) + 1 < ranks_) {
      if (joined_.WaitUntil(mutex_, deadline)) continue;
      std::string missing;
      for (int64_t rank = 1; rank < ranks_; ++rank)
        if (!followers_.contains(rank)) missing += Cat(missing.empty() ? "" : ", ", rank);
      if (!missing.empty()) return DeadlineExceeded("ranks ", missing, " did not come to the leader in time");
    }
    return absl::OkStatus();
  }

  absl::Status Send(const StepPlan& plan) override {
    WriteStep(plan, message_);
    const ByteBuffer bytes = Bytes(message_);
    MutexLock lock(mutex_);
    if (static_cast<int64_t>(followers_.size()) + 1 < ranks_) return Unavailable("step ", plan.step, ": a follower is gone");
    for (const auto& [rank, follower] : followers_)
      if (!follower->Send(bytes)) return Unavailable("step ", plan.step, ": rank ", rank, " does not read its steps");
    return absl::OkStatus();
  }

  void EndEpoch(Farewell farewell) override {
    v1::StepMessage goodbye;
    goodbye.set_leave(true);
    goodbye.set_rejoin(farewell == Farewell::kRejoin);
    const ByteBuffer bytes = Bytes(goodbye);
    MutexLock lock(mutex_);
    ranks_ = 0;  // nobody is accepted, nobody's end is a loss
    on_lost_ = nullptr;
    for (const auto& [rank, follower] : followers_) {
      if (farewell != Farewell::kNone) follower->Send(bytes);
      follower->Close(grpc::Status::OK);
    }
    followers_.clear();
  }

 private:
  grpc::ServerBidiReactor<ByteBuffer, ByteBuffer>* Follow(grpc::CallbackServerContext*) override { return new Follower(*this); }

  grpc::Status Accept(const v1::FollowerHello& hello, Follower* follower) override {
    MutexLock lock(mutex_);
    if (Epoch{hello.epoch()} != epoch_ || hello.nonce() != nonce_ || ranks_ == 0)
      return {grpc::StatusCode::UNAVAILABLE, "the leader is not in this epoch"};
    if (hello.rank() < 1 || hello.rank() >= ranks_)
      return {grpc::StatusCode::INVALID_ARGUMENT, Cat("rank: found ", hello.rank(), ", expected 1 to ", ranks_ - 1)};
    if (followers_.contains(hello.rank())) return {grpc::StatusCode::ALREADY_EXISTS, Cat("rank ", hello.rank(), " follows already")};
    follower->Send(Bytes(v1::StepMessage()));  // step 0: welcome
    followers_[hello.rank()] = follower;
    joined_.NotifyAll();
    return grpc::Status::OK;
  }

  void Gone(Follower* follower) override {
    std::function<void(int64_t)> on_lost;
    int64_t rank = 0;
    {
      MutexLock lock(mutex_);
      for (const auto& [at, known] : followers_)
        if (known == follower) rank = at;
      if (rank == 0) return;
      followers_.erase(rank);
      on_lost = on_lost_;
    }
    if (on_lost) on_lost(rank);
  }

  v1::StepMessage message_;  // of the last step
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  Mutex mutex_;  // taken before a follower's own
  CondVar joined_;
  Epoch epoch_ ABSL_GUARDED_BY(mutex_){};
  std::string nonce_ ABSL_GUARDED_BY(mutex_);
  int64_t ranks_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 between epochs
  std::function<void(int64_t)> on_lost_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, Follower*> followers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<StepsService>> StepsService::Listen(const std::string& listen) {
  auto service = std::make_unique<GrpcStepsService>();
  DROVER_RETURN_IF_ERROR(service->Start(listen));
  return service;
}

}  // namespace drover
