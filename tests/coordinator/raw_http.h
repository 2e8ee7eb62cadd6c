// A client made of a socket: sends bytes as given and reads what comes, under a deadline. For tests of what no library would send.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace drover::testing {

struct RawAnswer {
  int status = 0;  // 0: the connection was closed without an answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks joined
  bool closed = false;
};

class RawClient {
 public:
  // `receive_bytes` above 0 bounds what the kernel takes for a client that does not read.
  explicit RawClient(int port, int receive_bytes = 0);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool Send(std::string_view bytes);
  // One answer; a stream is read to its end.
  RawAnswer Read(std::chrono::milliseconds within = std::chrono::seconds(10));
  // Bytes until `mark` was seen (or the deadline).
  std::string ReadUntil(std::string_view mark, std::chrono::milliseconds within = std::chrono::seconds(10));
  bool ClosedWithin(std::chrono::milliseconds within);
  void Close();

 private:
  bool Fill(std::chrono::steady_clock::time_point deadline);
  int socket_ = -1;
  std::string buffer_;
  bool closed_ = false;
};

std::string PostText(std::string_view path, std::string_view json, std::string_view more_headers = "");
RawAnswer Post(int port, std::string_view path, std::string_view json, std::string_view more_headers = "");
RawAnswer Get(int port, std::string_view path);

}  // namespace drover::testing
