// See convert.h: what clients send and get.
#include <algorithm>
#include <cstring>

#include "coordinator/convert.h"

namespace drover {
namespace {

constexpr int64_t kLogitsFrameBytes = 1 << 20;

SamplingWish FromSampling(const v1::SamplingParams& in) {
  SamplingWish out;
  if (in.has_temperature()) out.temperature = in.temperature();
  if (in.has_top_k()) out.top_k = in.top_k();
  if (in.has_top_p()) out.top_p = in.top_p();
  if (in.has_min_p()) out.min_p = in.min_p();
  if (in.has_repetition_penalty()) out.repetition_penalty = in.repetition_penalty();
  if (in.has_presence_penalty()) out.presence_penalty = in.presence_penalty();
  if (in.has_frequency_penalty()) out.frequency_penalty = in.frequency_penalty();
  if (in.has_seed()) out.seed = in.seed();
  return out;
}

absl::StatusOr<PromptInput> FromInput(const v1::GenerateRequest& in) {
  if (in.has_text()) return TextInput{in.text(), !in.has_add_special_tokens() || in.add_special_tokens()};
  if (in.has_token_ids()) return std::vector<int32_t>(in.token_ids().ids().begin(), in.token_ids().ids().end());
  if (in.has_chat()) {
    DROVER_ASSIGN_OR_RETURN(ChatInput chat, FromProto(in.chat()));
    return chat;
  }
  return InvalidArgument("input: found none, expected text, chat or token_ids");
}

absl::StatusOr<GrammarText> FromGrammar(const v1::OutputGrammar& in) {
  if (in.has_json_schema()) return GrammarText{GrammarKind::kJsonSchema, in.json_schema()};
  if (in.has_regex()) return GrammarText{GrammarKind::kRegex, in.regex()};
  if (in.has_lark()) return GrammarText{GrammarKind::kLark, in.lark()};
  return InvalidArgument("grammar: found none, expected json_schema, regex or lark");
}

// Protobuf strings are UTF-8; a token may be a part of a character.
std::string Utf8(const std::string& bytes) {
  const std::string quoted = Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace);
  return Json::parse(quoted).get<std::string>();
}

v1::TokenInfo ToInfo(const ShownToken& token) {
  v1::TokenInfo out;
  out.set_id(token.id);
  if (token.logprob) out.set_logprob(*token.logprob);
  for (const ShownLogprob& top : token.top) {
    v1::TokenLogprob& entry = *out.add_top();
    entry.set_id(top.id);
    entry.set_text(Utf8(top.text));
    entry.set_logprob(top.logprob);
  }
  return out;
}

// Whole rows, as many as fit in a frame.
void AppendLogits(const LogitRows& logits, RequestId id, int64_t vocab, std::vector<v1::GenerateResponse>& out) {
  const auto row_bytes = static_cast<int64_t>(sizeof(float)) * vocab;
  const int64_t rows_per_frame = std::max<int64_t>(1, kLogitsFrameBytes / row_bytes);
  const int64_t rows = static_cast<int64_t>(logits.values.size()) / vocab;
  for (int64_t row = 0; row < rows; row += rows_per_frame) {
    const int64_t count = std::min(rows_per_frame, rows - row);
    v1::GenerateResponse response;
    response.set_request_id(Cat(Value(id)));
    v1::LogitsFrame& frame = *response.mutable_logits();
    frame.set_first_row(logits.first_row + row);
    frame.set_vocab(vocab);
    std::string& values = *frame.mutable_values();
    values.resize(static_cast<size_t>(count * row_bytes));
    std::memcpy(values.data(), logits.values.data() + row * vocab, values.size());
    out.push_back(std::move(response));
  }
}

}  // namespace

v1::SamplingParams ToProto(const SamplingWish& wish) {
  v1::SamplingParams out;
  if (wish.temperature) out.set_temperature(*wish.temperature);
  if (wish.top_k) out.set_top_k(*wish.top_k);
  if (wish.top_p) out.set_top_p(*wish.top_p);
  if (wish.min_p) out.set_min_p(*wish.min_p);
  if (wish.repetition_penalty) out.set_repetition_penalty(*wish.repetition_penalty);
  if (wish.presence_penalty) out.set_presence_penalty(*wish.presence_penalty);
  if (wish.frequency_penalty) out.set_frequency_penalty(*wish.frequency_penalty);
  if (wish.seed) out.set_seed(*wish.seed);
  return out;
}

absl::StatusOr<ChatInput> FromProto(const v1::Chat& in) {
  ChatInput out;
  if (in.messages().empty()) return InvalidArgument("chat.messages: found none, expected at least one");
  for (const v1::ChatMessage& message : in.messages()) {
    if (message.role().empty()) return InvalidArgument("chat.messages.role: found nothing, expected system, user, assistant or tool");
    out.messages.push_back({{"role", message.role()}, {"content", message.content()}});
  }
  if (!in.tools_json().empty()) {
    absl::StatusOr<Json> tools = ParseJson(in.tools_json());
    if (!tools.ok()) return Annotate(tools.status(), "chat.tools_json");
    if (!tools->is_array()) return InvalidArgument("chat.tools_json: found ", tools->type_name(), ", expected an array");
    out.tools = *std::move(tools);
  }
  if (!in.template_kwargs_json().empty()) {
    absl::StatusOr<Json> variables = ParseJson(in.template_kwargs_json());
    if (!variables.ok()) return Annotate(variables.status(), "chat.template_kwargs_json");
    if (!variables->is_object())
      return InvalidArgument("chat.template_kwargs_json: found ", variables->type_name(), ", expected an object");
    out.variables = *std::move(variables);
  }
  return out;
}

absl::StatusOr<ClientRequest> FromProto(const v1::GenerateRequest& in) {
  ClientRequest out{.model = in.model()};
  DROVER_ASSIGN_OR_RETURN(out.prompt, FromInput(in));
  out.sampling = FromSampling(in.sampling());
  if (in.has_max_tokens()) out.max_tokens = in.max_tokens();
  out.min_tokens = in.min_tokens();
  out.stop.assign(in.stop().begin(), in.stop().end());
  out.stop_token_ids.assign(in.stop_token_ids().begin(), in.stop_token_ids().end());
  out.ignore_eos = in.ignore_eos();
  if (in.has_logprobs()) {
    if (in.logprobs() < 0) return InvalidArgument("logprobs: found ", in.logprobs(), ", expected 0 to ", kLogprobsMax);
    out.logprobs = in.logprobs();
  }
  out.prompt_logprobs = in.prompt_logprobs();
  if (in.has_grammar()) {
    DROVER_ASSIGN_OR_RETURN(out.grammar, FromGrammar(in.grammar()));
  }
  switch (in.logits()) {
    case v1::LOGITS_WANTED_UNSPECIFIED: break;
    case v1::LOGITS_WANTED_LAST: out.logits = LogitsWanted::kLast; break;
    case v1::LOGITS_WANTED_ALL: out.logits = LogitsWanted::kAll; break;
    default: return InvalidArgument("logits: found ", static_cast<int>(in.logits()), ", expected 0, 1 or 2");
  }
  return out;
}

std::vector<v1::GenerateResponse> ToProto(const Piece& piece, bool first, int64_t vocab) {
  std::vector<v1::GenerateResponse> out;
  AppendLogits(piece.logits, piece.id, vocab, out);
  v1::GenerateResponse last;
  last.set_request_id(Cat(Value(piece.id)));
  last.set_text(piece.text);
  for (const ShownToken& token : piece.tokens) *last.add_tokens() = ToInfo(token);
  last.mutable_prompt_logprobs()->Add(piece.prompt_logprobs.begin(), piece.prompt_logprobs.end());
  last.set_finish_reason(static_cast<v1::FinishReason>(piece.finish));
  last.set_stop_reason(piece.stop_reason);
  if (first) last.set_seed(piece.seed);
  if (piece.finish != FinishReason::kNone) {
    last.mutable_usage()->set_prompt_tokens(piece.usage.prompt_tokens);
    last.mutable_usage()->set_completion_tokens(piece.usage.completion_tokens);
  }
  out.push_back(std::move(last));
  return out;
}

}  // namespace drover
