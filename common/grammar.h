// What a request's output must look like: a plain value that travels from clients to text/ (which knows grammars).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace drover {

enum class GrammarKind : uint8_t { kJsonSchema, kRegex, kLark };

struct GrammarText {
  GrammarKind kind = GrammarKind::kJsonSchema;
  std::string text;
  bool operator==(const GrammarText&) const = default;
};

inline constexpr size_t kGrammarBytesMax = 64 << 10;  // of GrammarText::text; Lark grammars have a lower limit

}  // namespace drover
