// See prompt.h; the marking of untrusted text is the crate's (src/chat.rs).
#include "text/prompt.h"

namespace drover::text {

absl::StatusOr<std::vector<int32_t>> EncodeChat(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                                const ChatContext& context, const ChatOptions& options) {
  const PackedChat packed(context, options.limits);
  DroverOwned out = {};
  const int32_t code =
      drover_text_encode_chat(tokenizer.handle(), chat_template.handle(), packed.get(), options.mode == TemplateMode::kSafe,
                              static_cast<size_t>(options.max_bytes), &out);
  DROVER_ASSIGN_OR_RETURN(const std::string ids, abi::Take(code, out));
  return abi::UnpackIds(ids);
}

absl::StatusOr<std::vector<PromptSegment>> RenderSegments(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                                          const ChatContext& context, const RenderLimits& limits) {
  const PackedChat packed(context, limits);
  DroverOwned out = {};
  const int32_t code = drover_text_segments(tokenizer.handle(), chat_template.handle(), packed.get(), &out);
  DROVER_ASSIGN_OR_RETURN(const std::string listed, abi::Take(code, out));
  DROVER_ASSIGN_OR_RETURN(const Json rows, ParseJson(listed, {.bytes = 256 << 20, .depth = 4, .elements = 10'000'000}));
  std::vector<PromptSegment> segments;
  for (const Json& row : rows) segments.push_back({row[0].get<std::string>(), row[1].get<bool>()});
  return segments;
}

}  // namespace drover::text
