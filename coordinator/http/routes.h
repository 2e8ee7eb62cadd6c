// The HTTP routes: what is answered where, with which method and media type.
#pragma once

#include "coordinator/coordinator.h"
#include "coordinator/http/http_server.h"

namespace drover {

// `wall_seconds` is the time of day for "created" fields.
HttpHandler MakeRoutes(Coordinator& coordinator, std::function<int64_t()> wall_seconds);

}  // namespace drover
