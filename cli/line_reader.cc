// See line_reader.h.
#include "cli/line_reader.h"

#include <unistd.h>

#include <utility>

namespace drover {
namespace {

constexpr size_t kLineBytesMax = 64 << 10;

}  // namespace

std::optional<std::string> LineReader::Next() {
  while (true) {
    if (const size_t end = pending_.find('\n'); end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    if (ended_ || pending_.size() > kLineBytesMax) {
      if (pending_.empty() || !ended_) return std::nullopt;
      return std::exchange(pending_, "");
    }
    if (!wait_()) return std::nullopt;
    char bytes[4096];
    const ssize_t got = read(descriptor_, bytes, sizeof bytes);
    if (got <= 0) ended_ = true;
    else pending_.append(bytes, static_cast<size_t>(got));
  }
}

}  // namespace drover
