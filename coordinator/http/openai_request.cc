// See openai_request.h.
#include "coordinator/http/openai_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "coordinator/http/output_format.h"
#include "coordinator/json_fields.h"

namespace drover {
namespace {

constexpr int64_t kMessagesMax = 4096;

constexpr std::array kUnserved = std::to_array<UnservedField>({
    {"allowed_token_ids", "[]"}, {"audio", "[]"}, {"bad_words", "[[]]"}, {"best_of", "[1]"}, {"cache_salt", "[]"},
    {"chat_template", "[]"}, {"documents", "[[]]"}, {"function_call", "[\"none\"]"}, {"functions", "[]"},
    {"guided_whitespace_pattern", "[]"}, {"kv_transfer_params", "[]"}, {"length_penalty", "[1]"}, {"logprob_token_ids", "[]"}, {"media_io_kwargs", "[{}]"},
    {"mm_processor_kwargs", "[{}]"}, {"modalities", "[[\"text\"]]"}, {"prediction", "[]"}, {"priority", "[0]"},
    {"prompt_embeds", "[]"}, {"prompt_logprobs", "[]"}, {"reasoning_effort", "[]"}, {"repetition_detection", "[]"},
    {"return_prompt_text", "[false]"}, {"return_tokens_as_token_ids", "[false]"}, {"spaces_between_special_tokens", "[true]"},
    {"stream_interval", "[1]"}, {"suffix", "[\"\"]"}, {"thinking_token_budget", "[]"},
    {"tools", "[]"}, {"truncate_prompt_tokens", "[]"}, {"truncation_side", "[]"}, {"use_beam_search", "[false]"},
    {"vllm_xargs", "[{}]"}, {"web_search_options", "[]"},
});

absl::Status RefuseUnserved(const Json& body) {
  for (const UnservedField& field : kUnserved)
    if (Asks(body, field)) return InvalidArgument(field.name, ": this field is not supported; leave it out");
  return absl::OkStatus();
}

absl::Status ReadStops(const Json& body, std::vector<std::string>& out) {
  const Json* field = Field(body, "stop");
  if (field == nullptr) return absl::OkStatus();
  if (field->is_string()) {
    out = {field->get<std::string>()};
    return absl::OkStatus();
  }
  if (!field->is_array()) return WrongType("stop", *field, "a string or a list of strings");
  for (const Json& stop : *field) {
    if (!stop.is_string()) return WrongType("stop", stop, "a string or a list of strings");
    out.push_back(stop.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ReadLogitBias(const Json& body, std::vector<std::pair<int32_t, float>>& out) {
  const Json* field = Field(body, "logit_bias");
  if (field == nullptr) return absl::OkStatus();
  if (!field->is_object()) return WrongType("logit_bias", *field, "an object of token id to number");
  for (const auto& [key, value] : field->items()) {
    const bool digits = !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return InvalidArgument("logit_bias: found a key that is not a token id");
    if (!value.is_number()) return WrongType("logit_bias", value, "an object of token id to number");
    out.emplace_back(std::stoi(key), value.get<float>());
  }
  return absl::OkStatus();
}

absl::Status ReadSampling(const Json& body, SamplingWish& out) {
  DROVER_RETURN_IF_ERROR(Read(body, "temperature", out.temperature));
  DROVER_RETURN_IF_ERROR(Read(body, "top_p", out.top_p));
  DROVER_RETURN_IF_ERROR(Read(body, "min_p", out.min_p));
  DROVER_RETURN_IF_ERROR(Read(body, "repetition_penalty", out.repetition_penalty));
  DROVER_RETURN_IF_ERROR(Read(body, "presence_penalty", out.presence_penalty));
  DROVER_RETURN_IF_ERROR(Read(body, "frequency_penalty", out.frequency_penalty));
  DROVER_RETURN_IF_ERROR(Read(body, "top_k", out.top_k));
  if (out.top_k == -1) out.top_k = 0;  // both mean off
  DROVER_RETURN_IF_ERROR(Read(body, "seed", out.seed));
  return ReadLogitBias(body, out.logit_bias);
}

absl::Status ReadStream(const Json& body, OpenAiRequest& out) {
  DROVER_RETURN_IF_ERROR(Read(body, "stream", out.stream));
  const Json* options = Field(body, "stream_options");
  if (options == nullptr) return absl::OkStatus();
  if (!out.stream) return InvalidArgument("stream_options: found without stream, expected stream: true beside it");
  if (!options->is_object()) return WrongType("stream_options", *options, "an object");
  DROVER_RETURN_IF_ERROR(Read(*options, "include_usage", out.include_usage));
  return Read(*options, "continuous_usage_stats", out.continuous_usage);
}

// What both routes share.
absl::Status ReadCommon(const Json& body, OpenAiRequest& out) {
  if (!body.is_object()) return InvalidArgument("found ", body.type_name(), " as the body, expected a JSON object");
  DROVER_RETURN_IF_ERROR(RefuseUnserved(body));
  DROVER_RETURN_IF_ERROR(ReadOutputFormat(body, out.common));
  DROVER_RETURN_IF_ERROR(Read(body, "model", out.common.model));
  DROVER_RETURN_IF_ERROR(ReadSampling(body, out.common.sampling));
  DROVER_RETURN_IF_ERROR(ReadStops(body, out.common.stop));
  DROVER_RETURN_IF_ERROR(ReadStream(body, out));
  DROVER_RETURN_IF_ERROR(Read(body, "max_tokens", out.common.max_tokens));
  std::optional<int64_t> n, min_tokens;
  DROVER_RETURN_IF_ERROR(Read(body, "min_tokens", min_tokens));
  out.common.min_tokens = min_tokens.value_or(0);
  DROVER_RETURN_IF_ERROR(Read(body, "n", n));
  out.n = n.value_or(1);
  if (out.n < 1 || out.n > kChoicesMax) return InvalidArgument("n: found ", out.n, ", expected 1 to ", kChoicesMax);
  if (const Json* ids = Field(body, "stop_token_ids")) {
    if (!ids->is_array()) return WrongType("stop_token_ids", *ids, "a list of token ids");
    DROVER_ASSIGN_OR_RETURN(out.common.stop_token_ids, ReadIds(*ids, "stop_token_ids"));
  }
  DROVER_RETURN_IF_ERROR(Read(body, "ignore_eos", out.common.ignore_eos));
  DROVER_RETURN_IF_ERROR(Read(body, "include_stop_str_in_output", out.common.include_stop));
  DROVER_RETURN_IF_ERROR(Read(body, "skip_special_tokens", out.common.skip_special_tokens));
  return Read(body, "return_token_ids", out.return_token_ids);
}

absl::Status AddPrompt(const Json& prompt, bool add_special, OpenAiRequest& out) {
  if (prompt.is_string()) {
    if (prompt.get_ref<const std::string&>().empty()) return InvalidArgument("prompt: found an empty string, expected text");
    out.prompts.push_back(TextInput{prompt.get<std::string>(), add_special});
    return absl::OkStatus();
  }
  if (!prompt.is_array()) return WrongType("prompt", prompt, "text, token ids, or a list of either");
  if (prompt.empty()) return InvalidArgument("prompt: found an empty list, expected at least one token id");
  DROVER_ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadIds(prompt, "prompt"));
  out.prompts.push_back(std::move(ids));
  return absl::OkStatus();
}

absl::Status ReadPrompts(const Json& body, OpenAiRequest& out) {
  bool add_special = true;
  DROVER_RETURN_IF_ERROR(Read(body, "add_special_tokens", add_special));
  const Json* prompt = Field(body, "prompt");
  if (prompt == nullptr) return InvalidArgument("prompt: found nothing, expected text or token ids");
  const bool list = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  if (!list) return AddPrompt(*prompt, add_special, out);
  if (static_cast<int64_t>(prompt->size()) > kPromptsMax)
    return InvalidArgument("prompt: found ", prompt->size(), " prompts, expected at most ", kPromptsMax);
  for (const Json& one : *prompt) DROVER_RETURN_IF_ERROR(AddPrompt(one, add_special, out));
  return absl::OkStatus();
}

// Text parts are joined by line breaks; anything but text is refused, and never fetched.
absl::StatusOr<std::string> ReadContent(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return WrongType(where, content, "a string or a list of text parts");
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = Cat(where, "[", i, "]");
    std::string type;
    if (!content[i].is_object()) return WrongType(part, content[i], "an object with a type");
    DROVER_RETURN_IF_ERROR(Read(content[i], "type", type));
    if (type != "text") return InvalidArgument(part, ": only parts of type text are supported");
    std::string text;
    DROVER_RETURN_IF_ERROR(Read(content[i], "text", text));
    if (i > 0) joined += '\n';
    joined += text;
  }
  return joined;
}

absl::StatusOr<Json> ReadMessage(const Json& message, const std::string& where) {
  static constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
  if (!message.is_object()) return WrongType(where, message, "an object with role and content");
  std::string role;
  if (const Json* field = Field(message, "role"); field != nullptr && field->is_string()) role = field->get<std::string>();
  if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles))
    return InvalidArgument(where, ".role: expected system, developer, user, assistant or tool");
  Json out = message;
  const Json* content = Field(message, "content");
  const bool may_lack = role == "assistant" && Field(message, "tool_calls") != nullptr;
  if (content == nullptr && !may_lack) return InvalidArgument(where, ".content: found nothing, expected text");
  if (content != nullptr) {
    DROVER_ASSIGN_OR_RETURN(out["content"], ReadContent(*content, Cat(where, ".content")));
  }
  if (out.contains("reasoning_content") && !out.contains("reasoning")) out["reasoning"] = out["reasoning_content"];
  out.erase("reasoning_content");
  return out;
}

absl::StatusOr<ChatInput> ReadConversation(const Json& body) {
  ChatInput chat;
  const Json* messages = Field(body, "messages");
  if (messages == nullptr || !messages->is_array() || messages->empty())
    return InvalidArgument("messages: expected a list of at least one message");
  if (static_cast<int64_t>(messages->size()) > kMessagesMax)
    return InvalidArgument("messages: found ", messages->size(), ", expected at most ", kMessagesMax);
  for (size_t i = 0; i < messages->size(); ++i) {
    DROVER_ASSIGN_OR_RETURN(Json message, ReadMessage((*messages)[i], Cat("messages[", i, "]")));
    chat.messages.push_back(std::move(message));
  }
  DROVER_RETURN_IF_ERROR(Read(body, "continue_final_message", chat.continue_final_message));
  chat.add_generation_prompt = !chat.continue_final_message;
  DROVER_RETURN_IF_ERROR(Read(body, "add_generation_prompt", chat.add_generation_prompt));
  if (chat.continue_final_message && chat.add_generation_prompt)
    return InvalidArgument("continue_final_message: found with add_generation_prompt, expected only one of them");
  if (const Json* variables = Field(body, "chat_template_kwargs")) {
    if (!variables->is_object()) return WrongType("chat_template_kwargs", *variables, "an object");
    if (variables->contains("tokenize") || variables->contains("chat_template"))
      return InvalidArgument("chat_template_kwargs: tokenize and chat_template are not supported");
    chat.variables = *variables;
  }
  return chat;
}

absl::Status CheckTools(const Json& body) {
  const Json* choice = Field(body, "tool_choice");
  if (choice == nullptr) return absl::OkStatus();
  if (choice->is_string() && *choice == "none") return absl::OkStatus();
  return InvalidArgument("tool_choice: found without tools, expected none");
}

}  // namespace

absl::StatusOr<OpenAiRequest> ParseCompletion(const Json& body) {
  OpenAiRequest out;
  DROVER_RETURN_IF_ERROR(ReadCommon(body, out));
  DROVER_RETURN_IF_ERROR(ReadPrompts(body, out));
  out.common.default_max_tokens = 16;
  std::optional<int64_t> logprobs;
  DROVER_RETURN_IF_ERROR(Read(body, "logprobs", logprobs));
  if (logprobs && (*logprobs < 0 || *logprobs > kLogprobsMax))
    return InvalidArgument("logprobs: found ", *logprobs, ", expected 0 to ", kLogprobsMax);
  out.common.logprobs = static_cast<int32_t>(logprobs.value_or(-1));
  DROVER_RETURN_IF_ERROR(Read(body, "echo", out.echo));
  if (out.common.max_tokens == 0 && !out.echo) return InvalidArgument("max_tokens: found 0, expected 1 or more (0 needs echo)");
  out.common.prompt_logprobs = out.echo && out.common.logprobs >= 0;
  if (static_cast<int64_t>(out.prompts.size()) * out.n > kPromptsMax)
    return InvalidArgument("n: found ", out.prompts.size(), " prompts with n ", out.n, ", expected at most ", kPromptsMax, " answers");
  return out;
}

absl::StatusOr<OpenAiRequest> ParseChat(const Json& body) {
  OpenAiRequest out{.chat = true};
  if (const Json* tools = body.is_object() ? Field(body, "tools") : nullptr; tools != nullptr && tools->is_array() && tools->empty())
    return InvalidArgument("tools: found an empty list, expected at least one tool or none at all");
  DROVER_RETURN_IF_ERROR(ReadCommon(body, out));
  DROVER_RETURN_IF_ERROR(CheckTools(body));
  DROVER_ASSIGN_OR_RETURN(ChatInput chat, ReadConversation(body));
  out.prompts.push_back(std::move(chat));
  DROVER_RETURN_IF_ERROR(Read(body, "max_completion_tokens", out.common.max_tokens));
  if (out.common.max_tokens && *out.common.max_tokens < 1)
    return InvalidArgument("max_tokens: found ", *out.common.max_tokens, ", expected 1 or more");
  bool logprobs = false;
  std::optional<int64_t> top;
  DROVER_RETURN_IF_ERROR(Read(body, "logprobs", logprobs));
  DROVER_RETURN_IF_ERROR(Read(body, "top_logprobs", top));
  if (top && !logprobs) return InvalidArgument("top_logprobs: found without logprobs, expected logprobs: true beside it");
  if (top && (*top < 0 || *top > kLogprobsMax))
    return InvalidArgument("top_logprobs: found ", *top, ", expected 0 to ", kLogprobsMax);
  out.common.logprobs = logprobs ? static_cast<int32_t>(top.value_or(0)) : -1;
  return out;
}

absl::StatusOr<TokenizeBody> ParseTokenize(const Json& body) {
  if (!body.is_object()) return InvalidArgument("found ", body.type_name(), " as the body, expected a JSON object");
  TokenizeBody out;
  DROVER_RETURN_IF_ERROR(Read(body, "model", out.model));
  DROVER_RETURN_IF_ERROR(Read(body, "return_token_strs", out.return_token_strs));
  if (Field(body, "messages") != nullptr) {
    DROVER_RETURN_IF_ERROR(RefuseUnserved(body));
    DROVER_ASSIGN_OR_RETURN(out.prompt, ReadConversation(body));
    return out;
  }
  TextInput text;
  if (Field(body, "prompt") == nullptr) return InvalidArgument("prompt: found nothing, expected text, or messages");
  DROVER_RETURN_IF_ERROR(Read(body, "prompt", text.text));
  DROVER_RETURN_IF_ERROR(Read(body, "add_special_tokens", text.add_special_tokens));
  out.prompt = std::move(text);
  return out;
}

absl::StatusOr<DetokenizeBody> ParseDetokenize(const Json& body) {
  if (!body.is_object()) return InvalidArgument("found ", body.type_name(), " as the body, expected a JSON object");
  DetokenizeBody out;
  DROVER_RETURN_IF_ERROR(Read(body, "model", out.model));
  const Json* tokens = Field(body, "tokens");
  if (tokens == nullptr || !tokens->is_array()) return InvalidArgument("tokens: expected a list of token ids");
  DROVER_ASSIGN_OR_RETURN(out.tokens, ReadIds(*tokens, "tokens"));
  return out;
}

}  // namespace drover
