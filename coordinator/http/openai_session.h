// One OpenAI-style request on its way: its choices run side by side, their pieces become one body or one event stream.
#pragma once

#include <memory>

#include "coordinator/coordinator.h"
#include "coordinator/http/http_server.h"
#include "coordinator/http/openai_request.h"
#include "coordinator/http/openai_response.h"

namespace drover {

// Starts the request; answers through `reply`, also when it fails. `done` hears the HTTP status once.
void RunOpenAi(Coordinator& coordinator, OpenAiRequest request, OpenAiFrame frame, HttpHeaders headers,
               std::shared_ptr<HttpReply> reply, std::function<void(int status)> done);

}  // namespace drover
