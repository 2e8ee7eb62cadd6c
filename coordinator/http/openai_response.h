// Answers as the JSON that OpenAI clients expect. Pure: values to JSON.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "coordinator/answer.h"
#include "coordinator/client_request.h"

namespace drover {

// What every object of one answer repeats.
struct OpenAiFrame {
  std::string id, model;
  int64_t created = 0;  // seconds since 1970
  bool chat = false;
};

// One choice as collected so far, or one piece of it.
struct OpenAiChoice {
  int64_t index = 0;
  std::string text;
  std::vector<ShownToken> tokens;
  int64_t text_offset = 0;                 // completions: of the first token's text, in characters
  bool logprobs = false, token_ids = false;
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason;
  std::optional<int32_t> stop_token;
};

Json WholeAnswer(const OpenAiFrame& frame, const std::vector<OpenAiChoice>& choices, const Usage& usage);
// The first delta of a chat choice carries its role.
Json Chunk(const OpenAiFrame& frame, const OpenAiChoice& piece, bool with_role);
Json UsageChunk(const OpenAiFrame& frame, const Usage& usage);
Json UsageJson(const Usage& usage);

// Characters that begin in `text`, which may be a part of one.
int64_t CountCharacters(std::string_view text);

// One event of an event stream.
std::string Event(const Json& json);
inline constexpr std::string_view kStreamEnd = "data: [DONE]\n\n";

// Text as UTF-8 whatever it holds.
std::string Dump(const Json& json);

struct HttpError {
  int status = 500;
  std::string type, message, param;
};
HttpError ToHttpError(const absl::Status& status);
Json ErrorJson(const HttpError& error);
// For what the server itself refuses.
std::string ErrorBody(int status, const std::string& message);

Json ModelsJson(const ModelInfo& model, int64_t max_model_len);
Json ModelJson(const ModelInfo& model, int64_t max_model_len);

}  // namespace drover
