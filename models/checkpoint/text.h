// Names out of files, made fit for messages.
#pragma once

#include <string>
#include <string_view>

namespace drover {

bool HasControlCharacter(std::string_view text);

// At most 80 bytes, control characters and quotes replaced by '?'.
std::string Shown(std::string_view text);

}  // namespace drover
