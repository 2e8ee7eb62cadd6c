// See http_session.h. Every phase has a deadline; every buffer has a size.
#include "coordinator/http/http_session.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>

#include "coordinator/http/head_check.h"

namespace drover {
namespace http = boost::beast::http;
namespace asio = boost::asio;
namespace {

constexpr size_t kReadBytes = 8 << 10;
constexpr size_t kLingerBytes = 1 << 20;
constexpr Duration kLingerFor = std::chrono::seconds(1);
constexpr std::string_view kComment = ": waiting\n\n";

std::string_view View(const boost::beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

std::string ToStd(boost::beast::string_view text) { return {text.data(), text.size()}; }

void AppendChunk(std::string& out, std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string size;
  for (size_t n = bytes.size(); n > 0; n >>= 4) size.insert(size.begin(), kDigits[n & 15]);
  out.append(size).append("\r\n").append(bytes).append("\r\n");
}

// Takes every call to the connection's thread.
class SessionReply final : public HttpReply {
 public:
  SessionReply(std::shared_ptr<HttpShared> shared, std::weak_ptr<HttpSession> session, int64_t turn)
      : shared_(std::move(shared)), session_(std::move(session)), turn_(turn) {}

  void Send(int status, HttpHeaders headers, std::string body) override {
    Post([t = turn_, status, headers = std::move(headers), body = std::move(body)](HttpSession& s) { s.Send(t, status, headers, body); });
  }
  void Begin(int status, HttpHeaders headers) override {
    Post([t = turn_, status, headers = std::move(headers)](HttpSession& s) { s.Begin(t, status, headers); });
  }
  void Write(std::string bytes) override {
    Post([t = turn_, bytes = std::move(bytes)](HttpSession& s) { s.Write(t, bytes); });
  }
  void End() override {
    Post([t = turn_](HttpSession& s) { s.End(t); });
  }
  void OnGone(std::function<void()> gone) override {
    shared_->Post([session = session_, t = turn_, gone = std::move(gone)] {
      if (const std::shared_ptr<HttpSession> alive = session.lock()) {
        alive->OnGone(t, gone);
      } else {
        gone();
      }
    });
  }

 private:
  void Post(std::function<void(HttpSession&)> task) {
    shared_->Post([session = session_, task = std::move(task)] {
      if (const std::shared_ptr<HttpSession> alive = session.lock()) task(*alive);
    });
  }

  const std::shared_ptr<HttpShared> shared_;
  const std::weak_ptr<HttpSession> session_;
  const int64_t turn_;
};

}  // namespace

void HttpShared::Post(std::function<void()> task) {
  MutexLock lock(mutex);
  if (io != nullptr) asio::post(*io, std::move(task));
}

HttpSession::HttpSession(Socket socket, std::shared_ptr<HttpShared> shared, uint64_t id)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      shared_(std::move(shared)),
      id_(id),
      buffer_(kHeadBytesMax + kReadBytes) {
  on_chunk_ = [this](uint64_t, boost::beast::string_view extensions, Error& error) {
    if (!extensions.empty()) error = http::make_error_code(http::error::bad_chunk_extension);
    if (++chunks_ > shared_->limits.chunks) error = http::make_error_code(http::error::body_limit);
  };
}

void HttpSession::Start() {
  phase_ = Phase::kHead;
  Arm(shared_->limits.head_within);
  ReadHead();
}

void HttpSession::Refuse(int status, const std::string& message) {
  ++turn_;
  phase_ = Phase::kHandling;
  Fail(status, message);
}

void HttpSession::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  Gone();
  Error ignored;
  timer_.cancel();
  socket_.close(ignored);
  shared_->on_closed(id_);
}

void HttpSession::CloseWhenWritten() {
  leaving_ = true;
  if (writing_.empty()) Close();
}

void HttpSession::Gone() {
  if (gone_) std::exchange(gone_, nullptr)();
}

void HttpSession::Arm(Duration duration) {
  timer_.expires_after(duration);
  timer_.async_wait([self = shared_from_this()](Error error) {
    if (!error && self->timer_.expiry() <= asio::steady_timer::clock_type::now()) self->OnTimer();
  });
}

void HttpSession::OnTimer() {
  if (phase_ == Phase::kHead && buffer_.size() > 0) return Fail(408, "the request's head did not arrive in time");
  if (phase_ == Phase::kBody) return Fail(408, "the request's body did not arrive in time");
  if (phase_ == Phase::kHandling) return Arm(shared_->limits.comment_after);
  if (phase_ == Phase::kStreaming && writing_.empty()) {
    if (comments_) Queue(kComment);
    return;
  }
  Close();
}

void HttpSession::ReadHead() {
  const std::string_view bytes = View(buffer_);
  if (const size_t end = bytes.find("\r\n\r\n"); end != std::string_view::npos && end + 4 <= kHeadBytesMax) {
    const HeadVerdict verdict = CheckHead(bytes.substr(0, end + 4));
    if (verdict.status != 0) return Fail(verdict.status, verdict.message);
    return StartParser();
  }
  if (const HeadVerdict verdict = CheckHeadSoFar(bytes); verdict.status != 0) return Fail(verdict.status, verdict.message);
  socket_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Error error, size_t count) { self->OnHeadBytes(error, count); });
}

void HttpSession::OnHeadBytes(Error error, size_t bytes) {
  if (phase_ != Phase::kHead && phase_ != Phase::kIdle) return;
  if (error) return Close();
  buffer_.commit(bytes);
  if (phase_ == Phase::kIdle) {
    phase_ = Phase::kHead;
    Arm(shared_->limits.head_within);
  }
  ReadHead();
}

void HttpSession::StartParser() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(kHeadBytesMax));
  parser_->body_limit(shared_->limits.body_bytes);
  chunks_ = 0;
  // The head is whole, so this completes without reading.
  http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](Error error, size_t) { self->OnHeadParsed(error); });
}

void HttpSession::OnHeadParsed(Error error) {
  if (phase_ != Phase::kHead) return;
  if (error == http::error::body_limit) return Fail(413, Cat("the body is larger than ", shared_->limits.body_bytes, " bytes"));
  if (error) return Fail(400, "not a valid HTTP request");
  phase_ = Phase::kBody;
  Arm(shared_->limits.body_within);
  ++turn_;
  keep_alive_ = parser_->get().keep_alive() && turn_ < shared_->limits.requests_per_connection;
  chunked_out_ = parser_->get().version() >= 11;
  head_only_ = parser_->get().method() == http::verb::head;
  const bool asks = parser_->get().find(http::field::expect) != parser_->get().end();
  if (!asks || parser_->is_done()) return ReadBody();
  static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(kContinue.data(), kContinue.size()), [self = shared_from_this()](Error failed, size_t) {
    if (failed) return self->Close();
    self->ReadBody();
  });
}

void HttpSession::ReadBody() {
  if (phase_ != Phase::kBody) return;
  parser_->on_chunk_header(on_chunk_);
  http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](Error error, size_t) { self->OnBodyRead(error); });
}

void HttpSession::OnBodyRead(Error error) {
  if (phase_ != Phase::kBody) return;
  if (error == http::error::body_limit) return Fail(413, "the body is too large or in too many chunks");
  if (error.category() == http::make_error_code(http::error::bad_chunk).category() && error != http::error::partial_message &&
      error != http::error::end_of_stream)
    return Fail(400, "the body is not valid chunked encoding");
  if (error) return Close();
  timer_.cancel();
  Handle();
}

void HttpSession::Handle() {
  phase_ = Phase::kHandling;
  HttpRequest request;
  Parser::value_type& message = parser_->get();
  request.method = ToStd(message.method_string());
  const std::string target = ToStd(message.target());
  const size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (const auto& field : message) {
    std::string name = ToStd(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request.headers.emplace_back(std::move(name), ToStd(field.value()));
  }
  request.body = std::move(message.body());
  parser_.reset();

  shared_->handler(std::move(request), std::make_shared<SessionReply>(shared_, weak_from_this(), turn_));
  WatchClient();
}

void HttpSession::WatchClient() {
  // With a pipelined request in hand the client's leaving shows when it is written to.
  if (watching_ || buffer_.size() > 0 || phase_ == Phase::kClosed) return;
  watching_ = true;
  socket_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Error error, size_t bytes) {
    self->watching_ = false;
    if (error) return self->phase_ == Phase::kLingering ? void() : self->Close();
    self->buffer_.commit(bytes);
    if (self->phase_ == Phase::kIdle) {
      self->phase_ = Phase::kHead;
      self->Arm(self->shared_->limits.head_within);
      self->ReadHead();
    }
  });
}

std::string HttpSession::HeadText(int status, const HttpHeaders& headers) const {
  std::string out = Cat("HTTP/1.1 ", status, " ", ToStd(http::obsolete_reason(static_cast<http::status>(status))), "\r\n");
  for (const auto& [name, value] : headers) out += Cat(name, ": ", value, "\r\n");
  if (!keep_alive_) out += "Connection: close\r\n";
  if (keep_alive_ && !chunked_out_) out += "Connection: keep-alive\r\n";  // HTTP/1.0 closes unless told
  return out;
}

void HttpSession::Send(int64_t turn, int status, const HttpHeaders& headers, const std::string& body) {
  if (turn != turn_ || phase_ != Phase::kHandling) return;
  std::string out = Cat(HeadText(status, headers), "Content-Length: ", body.size(), "\r\n\r\n");
  if (!head_only_) out += body;
  phase_ = Phase::kFinishing;
  gone_ = nullptr;
  Queue(out);
}

void HttpSession::Begin(int64_t turn, int status, const HttpHeaders& headers) {
  if (turn != turn_ || phase_ != Phase::kHandling) return;
  phase_ = Phase::kStreaming;
  if (!chunked_out_) keep_alive_ = false;
  comments_ = true;
  largest_ = 0;
  pending_ += Cat(HeadText(status, headers), chunked_out_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
  Flush();
}

void HttpSession::Write(int64_t turn, std::string_view bytes) {
  if (turn != turn_ || phase_ != Phase::kStreaming || bytes.empty()) return;
  // A slow consumer; one event may be larger than the limit, and others follow while it is on its way.
  if (pending_.size() + writing_.size() > shared_->limits.unread_bytes + largest_) return Close();
  largest_ = std::max(largest_, bytes.size());
  Queue(bytes);
}

void HttpSession::End(int64_t turn) {
  if (turn != turn_ || phase_ != Phase::kStreaming) return;
  phase_ = Phase::kFinishing;
  gone_ = nullptr;
  if (chunked_out_) pending_ += "0\r\n\r\n";
  if (!writing_.empty()) return;
  if (pending_.empty()) return NextRequest();
  Flush();
}

void HttpSession::OnGone(int64_t turn, std::function<void()> gone) {
  if (phase_ == Phase::kClosed) return gone();
  if (turn == turn_ && (phase_ == Phase::kHandling || phase_ == Phase::kStreaming)) gone_ = std::move(gone);
}

void HttpSession::Fail(int status, const std::string& message) {
  if (turn_ == 0) ++turn_;
  keep_alive_ = false;
  phase_ = Phase::kHandling;
  timer_.cancel();
  Send(turn_, status, {{"Content-Type", "application/json"}}, shared_->error_body(status, message));
}

void HttpSession::Queue(std::string_view bytes) {
  if (phase_ == Phase::kStreaming && chunked_out_) {
    AppendChunk(pending_, bytes);
  } else {
    pending_ += bytes;
  }
  Flush();
}

void HttpSession::Flush() {
  if (!writing_.empty() || pending_.empty() || phase_ == Phase::kClosed) return;
  writing_.swap(pending_);
  Arm(shared_->limits.write_stall);
  asio::async_write(socket_, asio::buffer(writing_), [self = shared_from_this()](Error error, size_t) { self->OnWritten(error); });
}

void HttpSession::OnWritten(Error error) {
  writing_.clear();
  if (error) return Close();
  if (!pending_.empty()) return Flush();
  if (leaving_) return Close();
  if (phase_ == Phase::kFinishing) return NextRequest();
  if (phase_ == Phase::kStreaming) Arm(shared_->limits.comment_after);
}

void HttpSession::NextRequest() {
  if (!keep_alive_) return Linger();
  phase_ = Phase::kIdle;
  Arm(shared_->limits.idle_within);
  if (buffer_.size() > 0) {
    phase_ = Phase::kHead;
    Arm(shared_->limits.head_within);
  }
  if (watching_) return;  // its bytes start the next request
  ReadHead();
}

// Lets the client read the answer before the connection is reset by what it still sends.
void HttpSession::Linger() {
  if (phase_ != Phase::kLingering) {
    Error ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    phase_ = Phase::kLingering;
    Arm(kLingerFor);
  }
  if (watching_) {
    // The read under way belongs to WatchClient; closing now would lose nothing but a late pipelined request.
    return Close();
  }
  // A read that a deadline cut off may still hold places in buffer_.
  dropped_.resize(kReadBytes);
  socket_.async_read_some(asio::buffer(dropped_), [self = shared_from_this()](Error error, size_t bytes) {
    self->lingered_ += bytes;
    if (error || self->lingered_ > kLingerBytes) return self->Close();
    self->Linger();
  });
}

}  // namespace drover
