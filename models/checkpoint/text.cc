// See text.h.
#include "models/checkpoint/text.h"

namespace drover {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

bool HasControlCharacter(std::string_view text) {
  for (const char c : text)
    if (IsControl(c)) return true;
  return false;
}

std::string Shown(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string out(text.substr(0, kShown));
  for (char& c : out)
    if (IsControl(c) || c == '"') c = '?';
  return text.size() > kShown ? out + "..." : out;
}

}  // namespace drover
