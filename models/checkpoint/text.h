// Names out of files, made fit for messages.
#pragma once

#include <string>
#include <string_view>

namespace drover {

bool HasControlCharacter(std::string_view text);

// At most 80 bytes, control characters and quotes replaced by '?'.
std::string Shown(std::string_view text);

// For a terminal: at most `bytes` of the text; what is no printable UTF-8 (controls, direction marks, broken bytes) becomes '?'.
std::string Printable(std::string_view text, size_t bytes);

}  // namespace drover
