// What we refuse in a request's head before the parser sees it: forms that proxies and servers read differently, and sizes.
#pragma once

#include <string>
#include <string_view>

namespace drover {

// status 0: nothing wrong; else the HTTP status to answer before closing.
struct HeadVerdict {
  int status = 0;
  std::string message;
};

inline constexpr size_t kHeadBytesMax = 16 << 10;
inline constexpr size_t kRequestLineBytesMax = 4 << 10;
inline constexpr size_t kHeaderLineBytesMax = 8 << 10;
inline constexpr int kHeadersMax = 64;

// `head` ends with the empty line.
HeadVerdict CheckHead(std::string_view head);

// A head that is still arriving: only its sizes.
HeadVerdict CheckHeadSoFar(std::string_view bytes);

}  // namespace drover
