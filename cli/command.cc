// See command.h.
#include "cli/command.h"

#include <iostream>

namespace drover {

std::string OneLine(std::string_view text) {
  std::string line;
  for (char c : text) line.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  return line;
}

int Report(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cout.flush();
  std::cerr << "drover: error: " << OneLine(Message(status)) << std::endl;
  return 1;
}

}  // namespace drover
