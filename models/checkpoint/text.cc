// See text.h.
#include "models/checkpoint/text.h"

#include <algorithm>
#include <cstdint>

namespace drover {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// C1 controls, marks of direction, separators of lines, the byte order mark.
bool IsHidden(uint32_t code) {
  return (code >= 0x80 && code < 0xa0) || code == 0x200e || code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

// Bytes of the character at the start of `text` when it is printable UTF-8, else 0.
size_t PrintableBytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return IsControl(text[0]) ? 0 : 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  uint32_t code = first & (0x7fu >> length);
  for (const char next : text.substr(1, length - 1)) {
    if ((static_cast<unsigned char>(next) & 0xc0) != 0x80) return 0;
    code = code << 6 | (static_cast<unsigned char>(next) & 0x3f);
  }
  constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid = code >= kLowest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return valid && !IsHidden(code) ? length : 0;
}

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

std::string Printable(std::string_view text, size_t bytes) {
  std::string out;
  while (!text.empty()) {
    const size_t length = PrintableBytes(text);
    if (out.size() + std::max<size_t>(length, 1) > bytes) return out + "...";
    out += length == 0 ? "?" : text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace drover
