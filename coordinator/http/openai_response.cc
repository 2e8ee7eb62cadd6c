// See openai_response.h.
#include "coordinator/http/openai_response.h"

#include <algorithm>

namespace drover {
namespace {

constexpr double kLogprobFloor = -9999.0;  // JSON has no -infinity

Json Logprob(double value) { return std::max(value, kLogprobFloor); }

Json Bytes(const std::string& text) {
  Json out = Json::array();
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
  return out;
}

Json ChatLogprobs(const OpenAiChoice& choice) {
  Json content = Json::array();
  for (const ShownToken& token : choice.tokens) {
    Json top = Json::array();
    for (const ShownLogprob& entry : token.top)
      top.push_back({{"token", entry.text}, {"logprob", Logprob(entry.logprob)}, {"bytes", Bytes(entry.text)}});
    content.push_back({{"token", token.text},
                       {"logprob", Logprob(token.logprob.value_or(kLogprobFloor))},
                       {"bytes", Bytes(token.text)},
                       {"top_logprobs", std::move(top)}});
  }
  return {{"content", std::move(content)}};
}

Json CompletionLogprobs(const OpenAiChoice& choice) {
  Json tokens = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
  int64_t offset = choice.text_offset;
  for (const ShownToken& token : choice.tokens) {
    tokens.push_back(token.text);
    values.push_back(token.logprob ? Logprob(*token.logprob) : Json());
    offsets.push_back(offset);
    offset += CountCharacters(token.text);
    Json top = token.top.empty() ? Json() : Json::object();
    for (const ShownLogprob& entry : token.top) top[entry.text] = Logprob(entry.logprob);
    tops.push_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json FinishJson(FinishReason finish) {
  if (finish == FinishReason::kStop) return "stop";
  if (finish == FinishReason::kLength) return "length";
  return nullptr;
}

void AddEnd(const OpenAiChoice& choice, bool chat, Json& out) {
  out["logprobs"] = !choice.logprobs ? Json() : chat ? ChatLogprobs(choice) : CompletionLogprobs(choice);
  out["finish_reason"] = FinishJson(choice.finish);
  if (choice.finish != FinishReason::kNone) {
    out["stop_reason"] = nullptr;
    if (!choice.stop_reason.empty()) out["stop_reason"] = choice.stop_reason;
    if (choice.stop_token) out["stop_reason"] = *choice.stop_token;
  }
  if (!choice.token_ids) return;
  out["token_ids"] = Json::array();
  for (const ShownToken& token : choice.tokens) out["token_ids"].push_back(token.id);
}

Json Frame(const OpenAiFrame& frame, const char* object) {
  return {{"id", frame.id}, {"object", object}, {"created", frame.created}, {"model", frame.model}};
}

struct ErrorKind {
  absl::StatusCode code;
  int status;
  const char* type;
};
constexpr ErrorKind kErrorKinds[] = {
    {absl::StatusCode::kInvalidArgument, 400, "BadRequestError"},
    {absl::StatusCode::kOutOfRange, 400, "BadRequestError"},
    {absl::StatusCode::kFailedPrecondition, 400, "BadRequestError"},
    {absl::StatusCode::kUnauthenticated, 401, "AuthenticationError"},
    {absl::StatusCode::kPermissionDenied, 403, "PermissionDeniedError"},
    {absl::StatusCode::kNotFound, 404, "NotFoundError"},
    {absl::StatusCode::kResourceExhausted, 429, "RateLimitError"},
    {absl::StatusCode::kCancelled, 499, "ClientClosedRequest"},
    {absl::StatusCode::kUnimplemented, 501, "NotImplementedError"},
    {absl::StatusCode::kUnavailable, 503, "ServiceUnavailableError"},
    {absl::StatusCode::kDeadlineExceeded, 504, "TimeoutError"},
};

// Our errors about a field start with "field: ".
std::string ParamOf(const std::string& message) {
  const size_t colon = message.find(": ");
  if (colon == std::string::npos || colon == 0 || colon > 64) return "";
  const std::string name = message.substr(0, colon);
  const bool field = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '[' || c == ']';
  });
  return field ? name : "";
}

}  // namespace

int64_t CountCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"completion_tokens", usage.completion_tokens}};
}

Json WholeAnswer(const OpenAiFrame& frame, const std::vector<OpenAiChoice>& choices, const Usage& usage) {
  Json out = Frame(frame, frame.chat ? "chat.completion" : "text_completion");
  out["choices"] = Json::array();
  for (const OpenAiChoice& choice : choices) {
    Json entry = {{"index", choice.index}};
    if (frame.chat) {
      entry["message"] = {{"role", "assistant"}, {"content", choice.text}};
    } else {
      entry["text"] = choice.text;
    }
    AddEnd(choice, frame.chat, entry);
    out["choices"].push_back(std::move(entry));
  }
  out["usage"] = UsageJson(usage);
  return out;
}

Json Chunk(const OpenAiFrame& frame, const OpenAiChoice& piece, bool with_role) {
  Json out = Frame(frame, frame.chat ? "chat.completion.chunk" : "text_completion");
  Json entry = {{"index", piece.index}};
  if (frame.chat) {
    Json delta = Json::object();
    if (with_role) delta["role"] = "assistant";
    if (with_role || !piece.text.empty()) delta["content"] = piece.text;
    entry["delta"] = std::move(delta);
  } else {
    entry["text"] = piece.text;
  }
  AddEnd(piece, frame.chat, entry);
  out["choices"] = Json::array({std::move(entry)});
  return out;
}

Json UsageChunk(const OpenAiFrame& frame, const Usage& usage) {
  Json out = Frame(frame, frame.chat ? "chat.completion.chunk" : "text_completion");
  out["choices"] = Json::array();
  out["usage"] = UsageJson(usage);
  return out;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string Event(const Json& json) { return Cat("data: ", Dump(json), "\n\n"); }

HttpError ToHttpError(const absl::Status& status) {
  for (const ErrorKind& kind : kErrorKinds)
    if (kind.code == status.code()) return {kind.status, kind.type, Message(status), ParamOf(Message(status))};
  return {500, "InternalServerError", Message(status), ""};
}

Json ErrorJson(const HttpError& error) {
  Json param = error.param.empty() ? Json() : Json(error.param);
  return {{"error", {{"message", error.message}, {"type", error.type}, {"param", std::move(param)}, {"code", error.status}}}};
}

std::string ErrorBody(int status, const std::string& message) {
  std::string type = status >= 500 ? "InternalServerError" : "BadRequestError";
  for (const ErrorKind& kind : kErrorKinds)
    if (kind.status == status) type = kind.type;
  return Dump(ErrorJson({status, type, message, ""}));
}

Json ModelJson(const ModelInfo& model, int64_t max_model_len) {
  Json defaults = Json::object();
  const auto add = [&defaults](const char* name, const auto& value) {
    if (value) defaults[name] = *value;
  };
  add("temperature", model.defaults.temperature);
  add("top_k", model.defaults.top_k);
  add("top_p", model.defaults.top_p);
  add("min_p", model.defaults.min_p);
  add("repetition_penalty", model.defaults.repetition_penalty);
  add("max_tokens", model.default_max_tokens);
  return {{"id", model.name},       {"object", "model"},     {"created", model.created},
          {"owned_by", "drover"},   {"root", model.name},    {"parent", nullptr},
          {"max_model_len", max_model_len}, {"permission", Json::array()}, {"default_sampling", defaults}};
}

Json ModelsJson(const ModelInfo& model, int64_t max_model_len) { return {{"object", "list"}, {"data", Json::array({ModelJson(model, max_model_len)})}}; }

}  // namespace drover
