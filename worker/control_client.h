// A rank's stream to the coordinator. One thread reads orders, one writes news and a heartbeat each second; a stream that breaks or
// falls silent is reported once and can be joined again.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/queue.h"
#include "worker/convert.h"

namespace grpc {
class Channel;
}

namespace drover {

// What the stream calls; on its own threads, never after Close.
struct ControlHandler {
  std::function<void(ControlMessage&)> on_order;  // may take the order away
  // The stream is gone. kFailedPrecondition and kInvalidArgument: the coordinator will not have this rank.
  std::function<void(const absl::Status&)> on_lost;
  std::function<v1::WorkerMessage()> heartbeat;
};

class ControlClient {
 public:
  ControlClient(std::string coordinator, ControlHandler handler);
  ~ControlClient();

  // Leaves the present stream if there is one, dials until the coordinator answers or the deadline, and says hello.
  absl::Status Join(const RankHello& hello, std::chrono::steady_clock::time_point deadline);
  // Any thread. Waits up to 10 s for a place; false when the stream is gone or the coordinator does not read.
  bool Send(v1::WorkerMessage message);
  // Any thread. Waits until everything sent is on the wire, or the limit.
  void Flush(std::chrono::milliseconds limit);
  // Leaves: what was sent goes out first. The handler is not called any more.
  void Close();

 private:
  struct Stream;

  void Read(Stream& stream);
  void Write(Stream& stream);
  void WriteAll(Stream& stream);

  const std::string coordinator_;
  const ControlHandler handler_;
  std::shared_ptr<grpc::Channel> channel_;
  Mutex mutex_;  // guards the pointer; Send may run while Join replaces it
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mutex_);  // owners: this, and a Send under way
};

}  // namespace drover
