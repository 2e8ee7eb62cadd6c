// Conversations to token ids. In safe mode only the template writes special tokens: text of a message that spells one stays
// text, while prompts without such text get exactly the ids of the reference library.
#pragma once

#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace drover::text {

enum class TemplateMode {
  kSafe,
  kReference,  // every special token spelled anywhere counts, as the reference library does; for comparisons only
};

struct ChatOptions {
  TemplateMode mode = TemplateMode::kSafe;
  RenderLimits limits;
  int64_t max_bytes = 16 << 20;  // of the rendered prompt
};

// No special tokens are added to what the template prints.
absl::StatusOr<std::vector<int32_t>> EncodeChat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                                const ChatContext& context, const ChatOptions& options = {});

// A stretch of the prompt; special tokens are read from it only when `trusted`.
struct PromptSegment {
  std::string text;
  bool trusted = false;
  bool operator==(const PromptSegment&) const = default;
};

absl::StatusOr<std::vector<PromptSegment>> RenderSegments(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                                          const ChatContext& context, const RenderLimits& limits = {});

}  // namespace drover::text
