// See steps_follower.h.
#include "worker/steps_follower.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "drover/v1/steps.grpc.pb.h"

namespace drover {
namespace {

constexpr int kStepBytes = 256 << 20;                  // block lists of long contexts
constexpr std::chrono::milliseconds kRetryAfter{100};
using SteadyTime = std::chrono::steady_clock::time_point;

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kStepBytes);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 3000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  args.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // an idle group has no data for hours
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

class GrpcStepsFollower final : public StepsFollower {
 public:
  explicit GrpcStepsFollower(std::shared_ptr<grpc::Channel> channel) : stub_(v1::Steps::NewStub(channel)) {}
  ~GrpcStepsFollower() override {
    context_.TryCancel();
    if (stream_) stream_->Finish();
  }

  absl::Status Greet(const FollowRequest& request) {
    stream_ = stub_->Follow(&context_);
    v1::FollowerMessage message;
    message.mutable_hello()->set_rank(static_cast<int32_t>(request.rank));
    message.mutable_hello()->set_epoch(Value(request.epoch));
    message.mutable_hello()->set_nonce(request.nonce);
    v1::StepMessage welcome;
    if (stream_->Write(message) && stream_->Read(&welcome)) {
      if (welcome.step() == 0 && !welcome.leave()) return absl::OkStatus();
      context_.TryCancel();
    }
    const grpc::Status status = std::exchange(stream_, nullptr)->Finish();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), Cat("the leader refused: ", status.error_message()));
  }

  absl::StatusOr<NextStep> Next(const StepBounds& bounds) override {
    v1::StepMessage message;
    if (!stream_->Read(&message)) return Unavailable("the stream of the leader broke");
    if (message.leave()) return NextStep{.plan = {}, .leave = true, .rejoin = message.rejoin()};
    DROVER_ASSIGN_OR_RETURN(StepPlan plan, ReadStep(message, bounds));
    return NextStep{.plan = std::move(plan)};
  }

  void Cancel() override { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::Steps::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::FollowerMessage, v1::StepMessage>> stream_;
};

std::chrono::system_clock::time_point OnWallClock(SteadyTime deadline) {
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                                deadline - std::chrono::steady_clock::now());
}

}  // namespace

absl::StatusOr<std::unique_ptr<StepsFollower>> StepsFollower::Dial(const FollowRequest& request, SteadyTime deadline) {
  const std::shared_ptr<grpc::Channel> channel = ChannelTo(request.address);
  absl::Status last = Unavailable("nobody listens");
  while (std::chrono::steady_clock::now() < deadline) {
    if (!channel->WaitForConnected(OnWallClock(deadline))) break;
    auto follower = std::make_unique<GrpcStepsFollower>(channel);
    last = follower->Greet(request);
    if (last.ok()) return follower;
    if (absl::IsInvalidArgument(last)) return last;  // asking again does not help
    std::this_thread::sleep_for(kRetryAfter);
  }
  return DeadlineExceeded("leader at ", request.address, ": ", Message(last));
}

}  // namespace drover
