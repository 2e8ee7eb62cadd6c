// ChatTemplate: a conversation as the text a model was trained on, rendered as the transformers library renders it.
// Templates come from model files; what they can spend is bounded.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/status.h"
#include "text/abi.h"

namespace drover::text {

struct RenderLimits {
  uint64_t fuel = 2'000'000;        // engine steps
  int64_t output_bytes = 16 << 20;
  int64_t recursion = 64;           // nested macro calls and blocks
};

// What a template sees.
struct ChatContext {
  // From the client: "messages" and, as wanted, "tools", "documents", "add_generation_prompt" and more template variables.
  // The first three are null and the last is false where missing.
  Json variables = Json::object();
  // From the model's files: bos_token, eos_token and so on. They stand over variables of the same name.
  std::map<std::string, std::string> special_tokens;
  // Local time for strftime_now, as 2025-03-09T14:05:06; empty means the clock of this machine.
  std::string now;
  // The prompt ends inside the last message, so that the model goes on with it.
  bool continue_final_message = false;
};

class ChatTemplate {
 public:
  // kInvalidArgument with the line for a syntax error.
  static absl::StatusOr<ChatTemplate> Parse(std::string_view source);

  // kFailedPrecondition with the template's own words when it calls raise_exception; kResourceExhausted past a limit.
  absl::StatusOr<std::string> Render(const ChatContext& context, const RenderLimits& limits = {}) const;

  // For the other classes of this folder.
  const DroverTemplate* handle() const { return handle_.get(); }

 private:
  ChatTemplate() = default;
  std::unique_ptr<DroverTemplate, abi::FreeTemplate> handle_;
};

// Local time as ChatContext::now wants it.
std::string LocalTime();

// The input of the C interface; keeps the texts that it points to.
class PackedChat {
 public:
  PackedChat(const ChatContext& context, const RenderLimits& limits);
  PackedChat(const PackedChat&) = delete;
  const DroverChatInput* get() const { return &input_; }

 private:
  std::string variables_, special_tokens_, now_;
  DroverChatInput input_ = {};
};

}  // namespace drover::text
