// See convert.h: the messages between ranks and coordinator.
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "coordinator/convert.h"

namespace drover {
namespace {

Hello FromHello(const v1::Hello& in) {
  return {.group = in.group(), .launch = in.launch(), .rank = in.rank(), .ranks = in.ranks(), .host = in.host(),
          .pid = in.pid(), .memory_bytes = in.memory_bytes(), .cores = in.cores(), .steps_address = in.steps_address(),
          .loaded_fingerprint = in.loaded_fingerprint(), .version = in.version(), .threads = in.threads(),
          .meeting = in.meeting()};
}

absl::StatusOr<HostGaps> FromGaps(const v1::Heartbeat& in) {
  HostGaps gaps;
  if (in.gap_counts_size() == 0) return gaps;
  if (static_cast<size_t>(in.gap_counts_size()) != gaps.counts.size())
    return InvalidArgument("heartbeat.gap_counts: found ", in.gap_counts_size(), ", expected ", gaps.counts.size());
  if (!(in.gap_seconds() >= 0) || std::isinf(in.gap_seconds()))
    return InvalidArgument("heartbeat.gap_seconds: found ", in.gap_seconds(), ", expected 0 or more");
  std::ranges::copy(in.gap_counts(), gaps.counts.begin());
  gaps.seconds = in.gap_seconds();
  return gaps;
}

absl::StatusOr<Heartbeat> FromBeat(const v1::Heartbeat& in) {
  DROVER_ASSIGN_OR_RETURN(const HostGaps gaps, FromGaps(in));
  return Heartbeat{.steps_done = in.steps_done(), .resident_bytes = in.resident_bytes(), .running = in.running(), .waiting = in.waiting(),
          .kv_blocks_used = in.kv_blocks_used(), .prompt_tokens_done = in.prompt_tokens_done(),
          .output_tokens_done = in.output_tokens_done(), .preemptions = in.preemptions(), .gaps = gaps};
}

absl::StatusOr<TokenEvent> FromNews(const v1::TokenNews& in) {
  if (in.finish() < 0 || in.finish() > static_cast<int>(FinishReason::kError))
    return InvalidArgument("tokens.finish: found ", in.finish(), ", expected 0 to 4");
  if (in.top_ids_size() != in.top_logprobs_size())
    return InvalidArgument("tokens.top_ids: found ", in.top_ids_size(), " ids and ", in.top_logprobs_size(), " log-probabilities");
  if (in.logits().size() % sizeof(float) != 0)
    return InvalidArgument("tokens.logits: found ", in.logits().size(), " bytes, expected whole f32 values");
  TokenEvent event{.id = RequestId{in.request_id()}, .position = in.position()};
  if (in.has_token()) event.token = in.token();
  if (in.has_logprob()) event.logprob = TokenLogprob{in.token(), in.logprob()};
  for (int i = 0; i < in.top_ids_size(); ++i) event.top.push_back({in.top_ids(i), in.top_logprobs(i)});
  event.prompt_logprobs.assign(in.prompt_logprobs().begin(), in.prompt_logprobs().end());
  event.logits.resize(in.logits().size() / sizeof(float));
  if (!in.logits().empty()) std::memcpy(event.logits.data(), in.logits().data(), in.logits().size());
  event.logits_first_row = in.logits_first_row();
  event.finish = static_cast<FinishReason>(in.finish());
  event.error = in.error();
  event.not_taken = in.not_taken();
  event.bad_request = in.bad_request();
  return event;
}

v1::Submit ToSubmit(const Request& in) {
  v1::Submit out;
  out.set_request_id(Value(in.id));
  out.mutable_prompt()->Add(in.prompt.begin(), in.prompt.end());
  const Sampling& s = in.sampling;
  out.set_temperature(s.temperature);
  out.set_top_k(s.top_k);
  out.set_top_p(s.top_p);
  out.set_min_p(s.min_p);
  out.set_repetition_penalty(s.repetition_penalty);
  out.set_presence_penalty(s.presence_penalty);
  out.set_frequency_penalty(s.frequency_penalty);
  out.set_seed(s.seed);
  for (const auto& [id, bias] : s.logit_bias) (*out.mutable_logit_bias())[id] = bias;
  out.set_max_tokens(in.max_tokens);
  out.set_min_tokens(in.min_tokens);
  out.mutable_end_ids()->Add(in.end_ids.begin(), in.end_ids.end());
  out.set_logprobs(in.logprobs);
  out.set_prompt_logprobs(in.prompt_logprobs);
  out.set_logits(static_cast<int>(in.logits));
  if (in.grammar) {
    out.mutable_grammar()->set_kind(static_cast<int>(in.grammar->kind));
    out.mutable_grammar()->set_text(in.grammar->text);
  }
  return out;
}

// One branch per kind of order.
struct OrderWriter {
  v1::CoordinatorMessage& out;
  void operator()(const AssignOrder& order) {
    v1::Assignment& assignment = *out.mutable_assignment();
    *assignment.mutable_plan() = ToProto(order.plan);
    if (assignment.plan().rank_plans_size() == 1) assignment.mutable_plan()->mutable_rank_plans(0)->set_rank(static_cast<int32_t>(order.rank));
    assignment.set_steps_address(order.steps_address);
    assignment.set_steps_nonce(order.steps_nonce);
    assignment.set_meeting(order.meeting);
  }
  void operator()(const Request& order) { *out.mutable_submit() = ToSubmit(order); }
  void operator()(const CancelOrder& order) { out.mutable_cancel()->set_request_id(Value(order.id)); }
  void operator()(const DrainOrder&) { out.mutable_drain(); }
  void operator()(const AbortOrder& order) { out.mutable_abort()->set_reason(order.reason); }
  void operator()(const PingOrder&) { out.mutable_ping(); }
};

v1::GroupStatus ToStatus(const Group& group, TimePoint taken) {
  v1::GroupStatus out;
  out.set_name(group.name);
  out.set_epoch(Value(group.epoch));
  out.set_state(std::string(Name(group.state)));
  out.set_detail(group.suspect ? "a rank is silent" : group.detail);
  out.set_running(group.load.running);
  out.set_waiting(group.load.waiting);
  out.set_kv_tokens_used(group.load.kv_blocks_used * group.plan.block_tokens);
  out.set_kv_tokens_total(group.plan.attention_parts * group.plan.kv_blocks * group.plan.block_tokens);
  for (const auto& [rank, member] : group.members) {
    v1::RankStatus& status = *out.add_ranks();
    status.set_rank(static_cast<int32_t>(rank));
    status.set_host(member.hello.host);
    status.set_pid(member.hello.pid);
    status.set_loaded(member.loaded_share);
    status.set_heartbeat_age_ms(Milliseconds(taken - member.heard));
    status.set_resident_bytes(member.resident_bytes);
  }
  if (Value(group.epoch) != 0) (void)google::protobuf::util::MessageToJsonString(ToProto(group.plan), out.mutable_plan_json());
  return out;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), Message(status)};
}

absl::StatusOr<RankMessage> FromProto(const v1::WorkerMessage& in) {
  RankMessage out{.epoch = Epoch{in.epoch()}};
  switch (in.body_case()) {
    case v1::WorkerMessage::kHello: out.body = FromHello(in.hello()); return out;
    case v1::WorkerMessage::kProgress: out.body = LoadProgress{in.progress().bytes_done(), in.progress().bytes_total()}; return out;
    case v1::WorkerMessage::kLoaded: out.body = Loaded{in.loaded().weight_bytes()}; return out;
    case v1::WorkerMessage::kReady: out.body = WarmedUp{in.ready().warm_step_ms()}; return out;
    case v1::WorkerMessage::kHeartbeat: {
      DROVER_ASSIGN_OR_RETURN(out.body, FromBeat(in.heartbeat()));
      return out;
    }
    case v1::WorkerMessage::kDraining: out.body = Draining{}; return out;
    case v1::WorkerMessage::kFailure: out.body = RankFailure{in.failure().message(), in.failure().operation()}; return out;
    case v1::WorkerMessage::kTokens: {
      std::vector<TokenEvent> events;
      for (const v1::TokenNews& news : in.tokens().news()) {
        DROVER_ASSIGN_OR_RETURN(TokenEvent event, FromNews(news));
        events.push_back(std::move(event));
      }
      out.body = std::move(events);
      return out;
    }
    case v1::WorkerMessage::BODY_NOT_SET: break;
  }
  return InvalidArgument("found a message without a body, expected one of drover.v1.WorkerMessage");
}

v1::CoordinatorMessage ToProto(const OrderMessage& message) {
  v1::CoordinatorMessage out;
  out.set_epoch(Value(message.epoch));
  std::visit(OrderWriter{out}, message.body);
  return out;
}

v1::Plan ToProto(const GroupPlan& plan) {
  v1::Plan out;
  out.set_model(plan.model);
  out.set_model_path(plan.model_path);
  out.set_fingerprint(plan.fingerprint);
  out.set_ranks(static_cast<int32_t>(plan.ranks));
  out.set_pipeline(static_cast<int32_t>(plan.stages));
  out.set_tensor(static_cast<int32_t>(plan.ranks / plan.stages));
  out.set_expert(static_cast<int32_t>(plan.expert_parts));
  out.set_attention(static_cast<int32_t>(plan.attention_parts));
  out.set_compute(plan.compute);
  out.set_kv(plan.kv);
  out.set_block_tokens(plan.block_tokens);
  out.set_kv_blocks(plan.kv_blocks);
  out.set_max_step_tokens(plan.max_step_tokens);
  out.set_max_sequences(plan.max_sequences);
  out.set_max_model_len(plan.max_model_len);
  out.set_threads(static_cast<int32_t>(plan.threads));
  out.set_step_timeout_ms(plan.step_timeout_ms);
  for (size_t i = 0; i < plan.rank_bytes.size(); ++i) {
    v1::RankPlan& rank = *out.add_rank_plans();
    rank.set_rank(static_cast<int32_t>(i));
    rank.set_weight_bytes(plan.rank_bytes[i].weights);
    rank.set_kv_bytes(plan.rank_bytes[i].kv);
    rank.set_runtime_bytes(plan.rank_bytes[i].runtime);
    rank.set_total_bytes(plan.rank_bytes[i].total());
  }
  return out;
}

v1::GetClusterResponse ToProto(const ClusterView& view, const std::string& model) {
  v1::GetClusterResponse out;
  out.set_model(model);
  out.set_ready(view.ready);
  for (const Group& group : view.groups) *out.add_groups() = ToStatus(group, view.taken);
  return out;
}

}  // namespace drover
