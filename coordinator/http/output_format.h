// What a body says that the whole answer must look like: OpenAI's response_format, and the fields that vLLM's clients send.
#pragma once

#include "common/grammar.h"
#include "common/json.h"
#include "common/status.h"
#include "coordinator/client_request.h"

namespace drover {

// At most one of response_format, structured_outputs and the guided_* fields, as the request's grammar and the name of its field.
// Errors name the field.
absl::Status ReadOutputFormat(const Json& body, ClientRequest& out);

}  // namespace drover
