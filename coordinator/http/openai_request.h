// OpenAI-style JSON bodies to typed requests. Errors name the field. Unknown fields are ignored; known ones that Drover does not
// serve are refused by name, unless their value asks for nothing.
#pragma once

#include <string>
#include <vector>

#include "common/json.h"
#include "coordinator/client_request.h"

namespace drover {

struct OpenAiRequest {
  ClientRequest common;              // without its prompt
  std::vector<PromptInput> prompts;  // one in chat
  int64_t n = 1;                     // answers per prompt
  bool chat = false, stream = false, include_usage = false, continuous_usage = false;
  bool echo = false;                 // completions: the answer starts with the prompt
  bool return_token_ids = false;
};

absl::StatusOr<OpenAiRequest> ParseCompletion(const Json& body);
absl::StatusOr<OpenAiRequest> ParseChat(const Json& body);

struct TokenizeBody {
  std::string model;
  PromptInput prompt;
  bool return_token_strs = false;
};
absl::StatusOr<TokenizeBody> ParseTokenize(const Json& body);

struct DetokenizeBody {
  std::string model;
  std::vector<int32_t> tokens;
};
absl::StatusOr<DetokenizeBody> ParseDetokenize(const Json& body);

}  // namespace drover
