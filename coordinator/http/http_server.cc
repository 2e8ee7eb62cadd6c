// See http_server.h: the listening socket, the thread, the table of connections.
#include "coordinator/http/http_server.h"

#include <netinet/tcp.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <thread>

#include "coordinator/http/http_session.h"

namespace drover {
namespace asio = boost::asio;
using asio::ip::tcp;
using Error = boost::system::error_code;

namespace {

constexpr int kBacklog = 1024;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);  // when descriptors run out
constexpr Duration kFlushWithin = std::chrono::seconds(2);         // of a stopping server, for clients that still read
constexpr int kSendBufferBytes = 64 << 10;  // the kernel would grow it to megabytes for a client that does not read
constexpr unsigned kUserTimeoutMs = 20'000;

class AsioServer final : public HttpServer {
 public:
  AsioServer(const HttpLimits& limits, HttpErrorBody error_body)
      : shared_(std::make_shared<HttpShared>()), acceptor_(io_), pause_(io_) {
    shared_->limits = limits;
    shared_->error_body = std::move(error_body);
    shared_->on_closed = [this](uint64_t id) { Forget(id); };
  }
  ~AsioServer() override { Stop(); }

  Error Bind(const tcp::endpoint& endpoint) {
    Error error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(kBacklog, error);
    return error;
  }
  int port() const override {
    Error ignored;
    return acceptor_.local_endpoint(ignored).port();
  }

  void Serve(HttpHandler handler) override {
    shared_->handler = std::move(handler);
    {
      MutexLock lock(shared_->mutex);
      shared_->io = &io_;
    }
    Accept();
    thread_ = std::thread([this] { io_.run(); });
  }

  void Stop() override {
    {
      MutexLock lock(shared_->mutex);
      shared_->io = nullptr;
    }
    if (thread_.joinable()) {
      asio::post(io_, [this] {
        Error ignored;
        acceptor_.close(ignored);
        stopping_ = true;
        pause_.expires_after(kFlushWithin);
        pause_.async_wait([this](Error) { CloseAll(&HttpSession::Close); });
        CloseAll(&HttpSession::CloseWhenWritten);
        if (connections_.empty()) pause_.cancel();
      });
      thread_.join();  // once the last connection has gone
    }
    Error ignored;
    acceptor_.close(ignored);
  }

 private:
  struct Entry {
    std::shared_ptr<HttpSession> session;
    std::string address;
  };

  void Accept() {
    acceptor_.async_accept([this](Error error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](Error stopped) {
          if (!stopped) Accept();
        });
        return;
      }
      Take(std::move(socket));
      Accept();
    });
  }

  void Take(tcp::socket socket) {
    Error error;
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(tcp::socket::send_buffer_size(kSendBufferBytes), error);
    socket.set_option(asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>(kUserTimeoutMs), error);
    const std::string address = socket.remote_endpoint(error).address().to_string();
    if (error) return;
    const uint64_t id = next_id_++;
    auto session = std::make_shared<HttpSession>(std::move(socket), shared_, id);
    const bool full = static_cast<int64_t>(connections_.size()) >= shared_->limits.connections ||
                      per_address_[address] >= shared_->limits.connections_per_address;
    ++per_address_[address];
    connections_[id] = {session, address};
    if (full) {
      session->Refuse(503, "too many connections");
    } else {
      session->Start();
    }
  }

  void CloseAll(void (HttpSession::*close)()) {
    const std::map<uint64_t, Entry> all = connections_;  // they leave the table while they close
    for (const auto& [id, entry] : all) (entry.session.get()->*close)();
  }

  void Forget(uint64_t id) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    if (const auto count = per_address_.find(found->second.address); count != per_address_.end() && --count->second == 0)
      per_address_.erase(count);
    connections_.erase(found);
    if (stopping_ && connections_.empty()) pause_.cancel();
  }

  asio::io_context io_{1};
  const std::shared_ptr<HttpShared> shared_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::map<uint64_t, Entry> connections_;
  std::map<std::string, int64_t> per_address_;
  uint64_t next_id_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

std::string_view HttpRequest::Header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_case_name) return value;
  return {};
}

absl::StatusOr<HostPort> ParseHostPort(const std::string& flag, const std::string& address) {
  const absl::Status wrong = InvalidArgument(flag, ": found ", address, ", expected HOST:PORT with a port from 0 to 65535");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  const std::string digits = address.substr(colon + 1);
  if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string::npos) return wrong;
  const int port = std::stoi(digits);
  if (port > 65535) return wrong;
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return HostPort{host, static_cast<uint16_t>(port)};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& flag, const std::string& address,
                                                               const HttpLimits& limits, HttpErrorBody error_body) {
  DROVER_ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(flag, address));
  asio::io_context lookup;
  Error error;
  const auto found = tcp::resolver(lookup).resolve(where.host, Cat(where.port), tcp::resolver::passive, error);
  if (error || found.empty()) return InvalidArgument(flag, " ", address, ": the host is not known: ", error.message());
  auto server = std::make_unique<AsioServer>(limits, std::move(error_body));
  error = server->Bind(found.begin()->endpoint());
  if (error) return Unavailable(flag, " ", address, ": cannot listen there: ", error.message());
  return server;
}

}  // namespace drover
