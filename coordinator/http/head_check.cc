// See head_check.h.
#include "coordinator/http/head_check.h"

#include <algorithm>
#include <cctype>
#include <vector>

namespace drover {
namespace {

constexpr size_t kMethodBytesMax = 16;

bool IsToken(std::string_view text) {
  static constexpr std::string_view kMore = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kMore.find(c) != std::string_view::npos;
  });
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.size() <= 18 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Lines without their CRLF; nullopt-like empty result when a CR or LF stands alone or a control character occurs.
bool SplitLines(std::string_view head, std::vector<std::string_view>& lines) {
  while (!head.empty()) {
    const size_t end = head.find("\r\n");
    if (end == std::string_view::npos) return false;
    const std::string_view line = head.substr(0, end);
    const bool clean = std::all_of(line.begin(), line.end(), [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return (byte >= 0x20 && byte != 0x7f) || c == '\t';
    });
    if (!clean) return false;
    if (!line.empty()) lines.push_back(line);
    head.remove_prefix(end + 2);
  }
  return true;
}

HeadVerdict CheckRequestLine(std::string_view line) {
  if (line.size() > kRequestLineBytesMax && line.find(' ') <= kMethodBytesMax) return {414, "the request line is longer than 4 KiB"};
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return {400, "the request line is not METHOD TARGET VERSION"};
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method)) return {400, "the method is not a token"};
  if (method.size() > kMethodBytesMax) return {501, "the method is unknown"};
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return {505, "only HTTP/1.1 and HTTP/1.0 are spoken"};
  if (method == "CONNECT" || method == "TRACE") return {405, "the method is not allowed"};
  const bool visible = std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (target.empty() || target.front() != '/' || !visible) return {400, "the target is not a path of visible ASCII"};
  return {};
}

struct Seen {
  int hosts = 0, lengths = 0, encodings = 0;
};

HeadVerdict CheckHeader(std::string_view line, Seen& seen) {
  if (line.front() == ' ' || line.front() == '\t') return {400, "a header is folded over lines"};
  if (line.size() > kHeaderLineBytesMax) return {431, "a header is longer than 8 KiB"};
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) return {400, "a header is not NAME: VALUE"};
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (EqualsIgnoringCase(name, "host")) ++seen.hosts;
  if (EqualsIgnoringCase(name, "content-length")) {
    ++seen.lengths;
    if (!IsDigits(value)) return {400, "content-length is not a number"};
  }
  if (EqualsIgnoringCase(name, "transfer-encoding")) {
    ++seen.encodings;
    if (!EqualsIgnoringCase(value, "chunked")) return {400, "transfer-encoding is not chunked"};
  }
  if (EqualsIgnoringCase(name, "expect") && !EqualsIgnoringCase(value, "100-continue"))
    return {417, "the expectation is not 100-continue"};
  return {};
}

}  // namespace

HeadVerdict CheckHead(std::string_view head) {
  std::vector<std::string_view> lines;
  if (!SplitLines(head, lines)) return {400, "the head holds a control character or a line that does not end with CRLF"};
  if (lines.empty()) return {400, "the request line is missing"};
  if (HeadVerdict verdict = CheckRequestLine(lines.front()); verdict.status != 0) return verdict;
  if (static_cast<int>(lines.size()) - 1 > kHeadersMax) return {431, "more than 64 headers"};
  Seen seen;
  for (size_t i = 1; i < lines.size(); ++i)
    if (HeadVerdict verdict = CheckHeader(lines[i], seen); verdict.status != 0) return verdict;
  if (seen.hosts > 1 || (seen.hosts == 0 && lines.front().ends_with("1.1"))) return {400, "expected exactly one host header"};
  if (seen.encodings > 0 && !lines.front().ends_with("1.1")) return {400, "transfer-encoding is not of HTTP/1.0"};
  if (seen.lengths > 1 || seen.encodings > 1 || (seen.lengths > 0 && seen.encodings > 0))
    return {400, "expected one content-length or one transfer-encoding"};
  return {};
}

HeadVerdict CheckHeadSoFar(std::string_view bytes) {
  const size_t line_end = bytes.find("\r\n");
  const bool in_request_line = line_end == std::string_view::npos;
  if (in_request_line && bytes.find('\n') != std::string_view::npos) return {400, "a line does not end with CRLF"};
  if (in_request_line && bytes.size() > kRequestLineBytesMax)
    return bytes.find(' ') <= kMethodBytesMax ? HeadVerdict{414, "the request line is longer than 4 KiB"} : HeadVerdict{501, "the method is unknown"};
  const size_t last = bytes.rfind('\n');
  const size_t open_line = last == std::string_view::npos ? bytes.size() : bytes.size() - last;
  if (!in_request_line && open_line > kHeaderLineBytesMax) return {431, "a header is longer than 8 KiB"};
  if (bytes.size() > kHeadBytesMax) return {431, "the head is longer than 16 KiB"};
  return {};
}

}  // namespace drover
