// One HTTP connection; used by http_server.cc alone. Lives on the server's thread; the server holds it until Close.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "common/mutex.h"
#include "coordinator/http/http_server.h"

namespace drover {

// What connections share with their server. Replies hold it too, so that a late one finds the server gone instead of freed memory.
struct HttpShared {
  HttpLimits limits;
  HttpErrorBody error_body;
  HttpHandler handler;
  std::function<void(uint64_t id)> on_closed;  // on the server's thread

  // Runs `task` on the server's thread, or drops it when the server has stopped.
  void Post(std::function<void()> task);
  Mutex mutex;
  boost::asio::io_context* io ABSL_GUARDED_BY(mutex) = nullptr;
};

class HttpSession final : public std::enable_shared_from_this<HttpSession> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Error = boost::system::error_code;

  HttpSession(Socket socket, std::shared_ptr<HttpShared> shared, uint64_t id);
  void Start();
  void Close();
  void CloseWhenWritten();
  // Answers at once and closes: used for connections beyond the cap.
  void Refuse(int status, const std::string& message);

  // What an HttpReply asks for; `turn` is the request it belongs to, so that a late call for an earlier one does nothing.
  void Send(int64_t turn, int status, const HttpHeaders& headers, const std::string& body);
  void Begin(int64_t turn, int status, const HttpHeaders& headers);
  void Write(int64_t turn, std::string_view bytes);
  void End(int64_t turn);
  void OnGone(int64_t turn, std::function<void()> gone);

 private:
  enum class Phase : uint8_t { kIdle, kHead, kBody, kHandling, kStreaming, kFinishing, kLingering, kClosed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void ReadHead();
  void OnHeadBytes(Error error, size_t bytes);
  void StartParser();
  void OnHeadParsed(Error error);
  void ReadBody();
  void OnBodyRead(Error error);
  void Handle();
  void WatchClient();
  void Fail(int status, const std::string& message);
  void Queue(std::string_view bytes);
  void Flush();
  void OnWritten(Error error);
  void NextRequest();
  void Linger();
  void Gone();
  void Arm(Duration duration);
  void OnTimer();
  std::string HeadText(int status, const HttpHeaders& headers) const;

  Socket socket_;
  boost::asio::steady_timer timer_;
  const std::shared_ptr<HttpShared> shared_;
  const uint64_t id_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::function<void(uint64_t, boost::beast::string_view, Error&)> on_chunk_;
  Phase phase_ = Phase::kIdle;
  int64_t turn_ = 0;         // requests so far
  int64_t chunks_ = 0;
  bool keep_alive_ = true, chunked_out_ = true, watching_ = false, comments_ = false, head_only_ = false, leaving_ = false;
  std::string writing_, pending_;
  std::string dropped_;  // what comes in while lingering
  size_t lingered_ = 0;
  size_t largest_ = 0;  // event of this stream
  std::function<void()> gone_;
};

}  // namespace drover
