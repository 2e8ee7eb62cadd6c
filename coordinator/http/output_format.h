// What a body says that the whole answer must look like: OpenAI's response_format, and the fields that vLLM's clients send.
#pragma once

#include <optional>

#include "common/grammar.h"
#include "common/json.h"
#include "common/status.h"

namespace drover {

// At most one of response_format, structured_outputs and the guided_* fields; nothing: any text. Errors name the field.
absl::StatusOr<std::optional<GrammarText>> ReadOutputFormat(const Json& body);

}  // namespace drover
