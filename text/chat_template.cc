// ChatTemplate over the C interface of the crate.
#include "text/chat_template.h"

#include <ctime>

namespace drover::text {

std::string LocalTime() {
  const std::time_t seconds = std::time(nullptr);
  std::tm fields = {};
  localtime_r(&seconds, &fields);
  char text[32] = {};
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &fields);
  return text;
}

PackedChat::PackedChat(const ChatContext& context, const RenderLimits& limits) : now_(context.now) {
  Json variables = {{"messages", nullptr}, {"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  if (context.variables.is_object()) variables.update(context.variables);
  // Invalid UTF-8 becomes U+FFFD instead of an exception.
  variables_ = variables.dump(-1, ' ', false, Json::error_handler_t::replace);
  special_tokens_ = Json(context.special_tokens).dump(-1, ' ', false, Json::error_handler_t::replace);
  if (now_.empty()) now_ = LocalTime();
  input_ = {abi::Borrow(variables_), abi::Borrow(special_tokens_), abi::Borrow(now_), limits.fuel,
            static_cast<size_t>(limits.output_bytes), static_cast<size_t>(limits.recursion), context.continue_final_message};
}

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  DroverTemplate* handle = nullptr;
  DroverOwned out = {};
  const int32_t code = drover_text_template_new(abi::Borrow(source), &handle, &out);
  DROVER_RETURN_IF_ERROR(abi::Take(code, out).status());
  ChatTemplate result;
  result.handle_.reset(handle);
  return result;
}

absl::StatusOr<std::string> ChatTemplate::Render(const ChatContext& context, const RenderLimits& limits) const {
  const PackedChat packed(context, limits);
  DroverOwned out = {};
  const int32_t code = drover_text_render(handle(), packed.get(), &out);
  return abi::Take(code, out);
}

}  // namespace drover::text
