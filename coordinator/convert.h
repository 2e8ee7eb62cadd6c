// drover.v1 messages to plain values and back, with every field checked; the only reader of cluster messages.
#pragma once

#include <grpcpp/support/status.h>

#include "coordinator/coordinator.h"
#include "coordinator/rank_messages.h"
#include "drover/v1/api.pb.h"
#include "drover/v1/cluster.pb.h"

namespace drover {

grpc::Status ToGrpc(const absl::Status& status);

absl::StatusOr<RankMessage> FromProto(const v1::WorkerMessage& in);
v1::CoordinatorMessage ToProto(const OrderMessage& message);
v1::Plan ToProto(const GroupPlan& plan);

absl::StatusOr<ClientRequest> FromProto(const v1::GenerateRequest& in);
absl::StatusOr<ChatInput> FromProto(const v1::Chat& in);
v1::SamplingParams ToProto(const SamplingWish& wish);
// One piece as one response, after those that carry its logits in frames of at most 1 MiB (or of one row).
std::vector<v1::GenerateResponse> ToProto(const Piece& piece, bool first, int64_t vocab);
v1::GetClusterResponse ToProto(const ClusterView& view, const std::string& model);

}  // namespace drover
