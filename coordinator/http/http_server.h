// An event-loop HTTP/1.1 server under limits (reliability rows H01-H21). Knows no route and no JSON; Beast stays in its .cc files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/status.h"

namespace drover {

struct HttpLimits {
  Duration head_within = std::chrono::seconds(5);
  Duration body_within = std::chrono::seconds(30);
  Duration idle_within = std::chrono::seconds(60);     // between requests of one connection
  Duration write_stall = std::chrono::seconds(30);     // a client that takes nothing
  Duration comment_after = std::chrono::seconds(30);   // of silence on an event stream
  uint64_t body_bytes = 4 << 20;
  size_t unread_bytes = 256 << 10;                     // of a stream, before its client counts as gone
  int64_t connections = 4096, connections_per_address = 256;
  int64_t requests_per_connection = 1000, chunks = 16'384;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method, path, query, body;
  HttpHeaders headers;  // names in lower case
  // The first value, empty when absent.
  std::string_view Header(std::string_view lower_case_name) const;
};

// The way back for one request. Any thread; calls after the client has gone do nothing. Held by the connection and by whoever answers.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  // The whole answer.
  virtual void Send(int status, HttpHeaders headers, std::string body) = 0;
  // Or a stream: headers, pieces, end.
  virtual void Begin(int status, HttpHeaders headers) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;
  // `gone` is called once, on the server's thread, if the client leaves (or stops reading) before the answer is complete.
  virtual void OnGone(std::function<void()> gone) = 0;
};

// Runs on the server's thread and must not block.
using HttpHandler = std::function<void(HttpRequest request, std::shared_ptr<HttpReply> reply)>;
// Makes the body (JSON) of an error that the server itself finds.
using HttpErrorBody = std::function<std::string(int status, const std::string& message)>;

class HttpServer {
 public:
  // `address` is HOST:PORT, port 0 for any; `flag` names it in errors.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const std::string& flag, const std::string& address,
                                                            const HttpLimits& limits, HttpErrorBody error_body);
  virtual ~HttpServer() = default;
  virtual int port() const = 0;
  // Starts the thread.
  virtual void Serve(HttpHandler handler) = 0;
  // Writes what was answered (two seconds at most), closes every connection and joins.
  virtual void Stop() = 0;
};

// Splits "HOST:PORT" ("[::1]:8000" too).
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(const std::string& flag, const std::string& address);

}  // namespace drover
