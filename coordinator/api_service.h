// The gRPC edge for clients (drover.v1.Drover).
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "coordinator/coordinator.h"

namespace drover {

std::unique_ptr<grpc::Service> MakeApiService(Coordinator& coordinator);

}  // namespace drover
