// Lines of a descriptor, waited for in a way the caller chooses: a terminal's input while children are supervised.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace drover {

class LineReader {
 public:
  // `wait` returns true once the descriptor may be read, false to give up.
  LineReader(int descriptor, std::function<bool()> wait) : descriptor_(descriptor), wait_(std::move(wait)) {}

  // The next line without its end; nothing at the end of input, when waiting is given up, or past 64 KiB without a line's end.
  std::optional<std::string> Next();

 private:
  const int descriptor_;
  const std::function<bool()> wait_;
  std::string pending_;
  bool ended_ = false;
};

}  // namespace drover
