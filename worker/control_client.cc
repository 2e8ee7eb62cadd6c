// See control_client.h.
#include "worker/control_client.h"

#include <grpcpp/grpcpp.h>

#include <future>

#include "common/log.h"
#include "drover/v1/cluster.grpc.pb.h"

namespace drover {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kHeartbeat{1000};
constexpr std::chrono::seconds kSilence{10};    // the coordinator pings every second
constexpr std::chrono::seconds kSendWait{10};
constexpr std::chrono::seconds kQuietDial{5};   // before a word is said about it
constexpr std::chrono::seconds kGoodbye{2};     // for the last messages to leave
constexpr std::chrono::milliseconds kPoll{5};
constexpr size_t kOutboxMessages = 256;         // of about 1 MiB at most
constexpr int kOrderBytes = 64 << 20;           // prompts of long contexts

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kOrderBytes);
  // Only for links that swallow packets: pings and heartbeats tell the rest. 10 s is the least that the coordinator allows.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 12'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A restarted coordinator may have another address behind its name; the library's 30 s would use up half the orphan grace.
  args.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1'000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args);
}

// Waits for the connection, and says so once when that takes long.
bool Dial(grpc::Channel& channel, const std::string& address, SteadyClock::time_point deadline) {
  const auto wall = [](SteadyClock::duration left) {
    return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(left);
  };
  const SteadyClock::duration left = deadline - SteadyClock::now();
  if (channel.WaitForConnected(wall(std::min<SteadyClock::duration>(left, kQuietDial)))) return true;
  if (left <= kQuietDial) return false;
  Log(LogLevel::kWarning, "no answer from the coordinator yet", {{"coordinator", address}});
  return channel.WaitForConnected(wall(deadline - SteadyClock::now()));
}

}  // namespace

struct ControlClient::Stream {
  grpc::ClientContext context;
  std::unique_ptr<v1::Cluster::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> wire;
  BoundedQueue<v1::WorkerMessage> outbox{kOutboxMessages};
  std::atomic<int64_t> unsent = 0;
  std::atomic<SteadyClock::duration> heard = SteadyClock::now().time_since_epoch();
  std::atomic<bool> leaving = false;  // by our own will: no on_lost
  std::promise<void> write_end;       // nothing is written any more
  std::shared_future<void> written = write_end.get_future().share();
  std::thread reader, writer;
};

ControlClient::ControlClient(std::string coordinator, ControlHandler handler)
    : coordinator_(std::move(coordinator)), handler_(std::move(handler)), channel_(ChannelTo(coordinator_)) {}

ControlClient::~ControlClient() { Close(); }

absl::Status ControlClient::Join(const RankHello& hello, SteadyClock::time_point deadline) {
  Close();
  if (!Dial(*channel_, coordinator_, deadline)) return DeadlineExceeded("coordinator at ", coordinator_, ": no answer");
  auto stream = std::make_shared<Stream>();
  stream->stub = v1::Cluster::NewStub(channel_);
  stream->wire = stream->stub->Join(&stream->context);
  stream->unsent = 1;
  stream->outbox.TryPush(WriteHello(hello));
  stream->writer = std::thread([this, s = stream.get()] { Write(*s); });
  stream->reader = std::thread([this, s = stream.get()] { Read(*s); });
  MutexLock lock(mutex_);
  stream_ = std::move(stream);
  return absl::OkStatus();
}

bool ControlClient::Send(v1::WorkerMessage message) {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_;
  }
  if (stream == nullptr) return false;
  stream->unsent += 1;
  if (stream->outbox.Push(std::move(message), kSendWait)) return true;
  stream->unsent -= 1;
  stream->context.TryCancel();  // a coordinator that does not read is lost
  return false;
}

void ControlClient::Flush(std::chrono::milliseconds limit) {
  const auto deadline = SteadyClock::now() + limit;
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = stream_;
  }
  while (stream != nullptr && stream->unsent > 0 && !stream->outbox.closed() && SteadyClock::now() < deadline)
    std::this_thread::sleep_for(kPoll);
}

void ControlClient::Close() {
  std::shared_ptr<Stream> stream;
  {
    MutexLock lock(mutex_);
    stream = std::move(stream_);
    stream_ = nullptr;
  }
  if (stream == nullptr) return;
  stream->leaving = true;
  stream->outbox.Close();
  stream->written.wait_for(kGoodbye);
  stream->context.TryCancel();
  stream->writer.join();
  stream->reader.join();
}

void ControlClient::Read(Stream& stream) {
  v1::CoordinatorMessage message;
  while (stream.wire->Read(&message)) {
    stream.heard = SteadyClock::now().time_since_epoch();
    if (stream.leaving) continue;
    absl::StatusOr<ControlMessage> order = ReadControl(message);
    if (order.ok()) {
      handler_.on_order(*order);
    } else {
      Log(LogLevel::kError, "order refused", {{"reason", Message(order.status())}});
    }
  }
  stream.outbox.Close();
  stream.written.wait();  // soon: writes on a stream that has ended fail
  const grpc::Status end = stream.wire->Finish();
  if (stream.leaving) return;
  handler_.on_lost(absl::Status(end.ok() ? absl::StatusCode::kUnavailable : static_cast<absl::StatusCode>(end.error_code()),
                                Cat("the coordinator's stream ended: ", end.error_message())));
}

void ControlClient::Write(Stream& stream) {
  WriteAll(stream);
  stream.write_end.set_value();
}

// Sends news as it comes and a heartbeat each second; gives the stream up when the coordinator has been silent for too long.
void ControlClient::WriteAll(Stream& stream) {
  SteadyClock::time_point next_beat = SteadyClock::now() + kHeartbeat;
  while (true) {
    const auto now = SteadyClock::now();
    const std::optional<v1::WorkerMessage> message = stream.outbox.Pop(std::max(next_beat - now, SteadyClock::duration(0)));
    if (message.has_value()) {
      const bool written = stream.wire->Write(*message);
      stream.unsent -= 1;
      if (!written) return;
      continue;
    }
    if (stream.outbox.closed()) break;
    if (SteadyClock::now() < next_beat) continue;
    next_beat += kHeartbeat;
    if (SteadyClock::now().time_since_epoch() - stream.heard.load() > kSilence) {
      Log(LogLevel::kWarning, "the coordinator is silent", {{"coordinator", coordinator_}});
      return stream.context.TryCancel();
    }
    if (!stream.wire->Write(handler_.heartbeat())) return;
  }
  if (stream.leaving) stream.wire->WritesDone();
}

}  // namespace drover
