// See raw_http.h.
#include "tests/coordinator/raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>

#include "common/status.h"

namespace drover::testing {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

RawClient::RawClient(int port, int receive_bytes) {
  socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_bytes > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  closed_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0;
}

RawClient::~RawClient() { Close(); }

void RawClient::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool RawClient::Fill(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd waiting{socket_, POLLIN, 0};
  if (closed_ || left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return false;
  char bytes[16384];
  const ssize_t got = recv(socket_, bytes, sizeof(bytes), 0);
  if (got <= 0) {
    closed_ = true;
    return false;
  }
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

std::string RawClient::ReadUntil(std::string_view mark, std::chrono::milliseconds within) {
  const Deadline deadline = std::chrono::steady_clock::now() + within;
  while (buffer_.find(mark) == std::string::npos && Fill(deadline)) {
  }
  const size_t at = buffer_.find(mark);
  const size_t end = at == std::string::npos ? buffer_.size() : at + mark.size();
  std::string out = buffer_.substr(0, end);
  buffer_.erase(0, end);
  return out;
}

bool RawClient::ClosedWithin(std::chrono::milliseconds within) {
  const Deadline deadline = std::chrono::steady_clock::now() + within;
  while (Fill(deadline)) {
  }
  return closed_;
}

RawAnswer RawClient::Read(std::chrono::milliseconds within) {
  const Deadline deadline = std::chrono::steady_clock::now() + within;
  RawAnswer answer;
  std::string head = ReadUntil("\r\n\r\n", within);
  if (head.rfind("HTTP/1.1 ", 0) != 0) {
    answer.closed = closed_;
    return answer;
  }
  answer.status = std::stoi(head.substr(9, 3));
  size_t at = head.find("\r\n") + 2;
  while (at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at);
    const size_t colon = head.find(": ", at);
    answer.headers[Lower(head.substr(at, colon - at))] = head.substr(colon + 2, end - colon - 2);
    at = end + 2;
  }
  if (answer.headers.contains("content-length")) {
    const size_t length = std::stoul(answer.headers["content-length"]);
    while (buffer_.size() < length && Fill(deadline)) {
    }
    answer.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
  } else if (answer.headers.contains("transfer-encoding")) {
    while (true) {
      const std::string line = ReadUntil("\r\n");
      const size_t size = line.size() < 3 ? 0 : std::stoul(line, nullptr, 16);
      while (buffer_.size() < size + 2 && Fill(deadline)) {
      }
      answer.body += buffer_.substr(0, size);
      buffer_.erase(0, size + 2);
      if (size == 0) break;
    }
  }
  answer.closed = closed_;
  return answer;
}

std::string PostText(std::string_view path, std::string_view json, std::string_view more_headers) {
  return Cat("POST ", path, " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: ", json.size(), "\r\n", more_headers,
             "\r\n", json);
}

RawAnswer Post(int port, std::string_view path, std::string_view json, std::string_view more_headers) {
  RawClient client(port);
  client.Send(PostText(path, json, more_headers));
  return client.Read();
}

RawAnswer Get(int port, std::string_view path) {
  RawClient client(port);
  client.Send(Cat("GET ", path, " HTTP/1.1\r\nHost: t\r\n\r\n"));
  return client.Read();
}

}  // namespace drover::testing
