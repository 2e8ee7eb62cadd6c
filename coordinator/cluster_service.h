// The gRPC edge for ranks (drover.v1.Cluster): one long-lived stream per rank, converted, checked and handed to the coordinator.
#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "coordinator/coordinator.h"

namespace drover {

std::unique_ptr<grpc::Service> MakeClusterService(Coordinator& coordinator);

}  // namespace drover
