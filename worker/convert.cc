// See convert.h: control messages.
#include "worker/convert.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace drover {
namespace {

constexpr int64_t kRanksMax = 65'536;
constexpr int64_t kCountMax = int64_t{1} << 31;         // blocks, tokens, sequences
constexpr int64_t kStepTimeoutMsMax = 24 * 3600 * 1000;
constexpr int64_t kMessageBytes = 1 << 20;

absl::Status CheckRange(std::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidArgument(field, ": found ", value, ", expected ", low, " to ", high);
}

int64_t Stages(const v1::Plan& in) { return in.pipeline() == 0 ? 1 : in.pipeline(); }
int64_t AttentionParts(const v1::Plan& in) { return in.attention() == 0 ? 1 : in.attention(); }

absl::Status CheckPlan(const v1::Plan& in) {
  if (in.model_path().empty()) return InvalidArgument("plan.model_path: found nothing, expected a path");
  if (in.fingerprint().empty()) return InvalidArgument("plan.fingerprint: found nothing, expected a hash");
  DROVER_RETURN_IF_ERROR(CheckRange("plan.ranks", in.ranks(), 1, kRanksMax));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.pipeline", in.pipeline(), 0, in.ranks()));
  if (in.ranks() % Stages(in) != 0)
    return InvalidArgument("plan.pipeline: found ", in.pipeline(), ", expected a divisor of ", in.ranks(), " ranks");
  const int64_t stage_ranks = in.ranks() / Stages(in);
  DROVER_RETURN_IF_ERROR(CheckRange("plan.expert", in.expert(), 1, stage_ranks));
  if (stage_ranks % in.expert() != 0)
    return InvalidArgument("plan.expert: found ", in.expert(), ", expected a divisor of ", stage_ranks, " ranks");
  DROVER_RETURN_IF_ERROR(CheckRange("plan.attention", in.attention(), 0, stage_ranks));
  if (stage_ranks % AttentionParts(in) != 0)
    return InvalidArgument("plan.attention: found ", in.attention(), ", expected a divisor of ", stage_ranks, " ranks");
  DROVER_RETURN_IF_ERROR(CheckRange("plan.block_tokens", in.block_tokens(), 1, 65'536));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.kv_blocks", in.kv_blocks(), 1, kCountMax - 1));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.max_step_tokens", in.max_step_tokens(), 1, kCountMax));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.max_sequences", in.max_sequences(), 1, kCountMax));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.max_model_len", in.max_model_len(), 1, kCountMax));
  DROVER_RETURN_IF_ERROR(CheckRange("plan.threads", in.threads(), 1, 4096));
  return CheckRange("plan.step_timeout_ms", in.step_timeout_ms(), 1, kStepTimeoutMsMax);
}

absl::StatusOr<GroupPlan> ReadPlan(const v1::Plan& in) {
  DROVER_RETURN_IF_ERROR(CheckPlan(in));
  GroupPlan plan{.model = in.model(), .model_path = in.model_path(), .fingerprint = in.fingerprint()};
  plan.ranks = in.ranks();
  plan.stages = Stages(in);
  plan.expert_parts = in.expert();
  plan.attention_parts = AttentionParts(in);
  plan.compute = in.compute();
  plan.kv = in.kv();
  plan.block_tokens = in.block_tokens();
  plan.kv_blocks = in.kv_blocks();
  plan.max_step_tokens = in.max_step_tokens();
  plan.max_sequences = in.max_sequences();
  plan.max_model_len = in.max_model_len();
  plan.threads = in.threads();
  plan.step_timeout_ms = in.step_timeout_ms();
  for (const v1::RankPlan& rank : in.rank_plans())
    plan.rank_bytes.push_back({.weights = rank.weight_bytes(), .kv = rank.kv_bytes(), .runtime = rank.runtime_bytes()});
  return plan;
}

absl::StatusOr<GrammarText> ReadGrammar(const v1::Grammar& in) {
  DROVER_RETURN_IF_ERROR(CheckRange("grammar.kind", in.kind(), 0, static_cast<int64_t>(GrammarKind::kLark)));
  DROVER_RETURN_IF_ERROR(CheckRange("grammar.text: bytes", static_cast<int64_t>(in.text().size()), 0, kGrammarBytesMax));
  return GrammarText{static_cast<GrammarKind>(in.kind()), in.text()};
}

absl::StatusOr<Request> ReadRequest(const v1::Submit& in) {
  Request request{.id = RequestId{in.request_id()}};
  request.prompt.assign(in.prompt().begin(), in.prompt().end());
  Sampling& s = request.sampling;
  s = {.temperature = in.temperature(), .top_k = in.top_k(), .top_p = in.top_p(), .min_p = in.min_p(),
       .repetition_penalty = in.repetition_penalty(), .presence_penalty = in.presence_penalty(),
       .frequency_penalty = in.frequency_penalty(), .seed = in.seed(), .logit_bias = {}};
  s.logit_bias.assign(in.logit_bias().begin(), in.logit_bias().end());
  std::sort(s.logit_bias.begin(), s.logit_bias.end());  // a map has no order of its own
  DROVER_RETURN_IF_ERROR(Validate(s));
  DROVER_RETURN_IF_ERROR(CheckRange("max_tokens", in.max_tokens(), 0, kCountMax));
  DROVER_RETURN_IF_ERROR(CheckRange("min_tokens", in.min_tokens(), 0, kCountMax));
  DROVER_RETURN_IF_ERROR(CheckRange("logprobs", in.logprobs(), -1, 1000));
  DROVER_RETURN_IF_ERROR(CheckRange("logits", in.logits(), 0, static_cast<int64_t>(LogitsWanted::kAll)));
  request.max_tokens = in.max_tokens();
  request.min_tokens = in.min_tokens();
  request.end_ids.assign(in.end_ids().begin(), in.end_ids().end());
  request.logprobs = in.logprobs();
  request.prompt_logprobs = in.prompt_logprobs();
  request.logits = static_cast<LogitsWanted>(in.logits());
  if (in.has_grammar()) {
    DROVER_ASSIGN_OR_RETURN(request.grammar, ReadGrammar(in.grammar()));
  }
  return request;
}

absl::StatusOr<ControlOrder> ReadOrder(const v1::CoordinatorMessage& in) {
  if (in.has_ping()) return ControlOrder(CoordinatorAlive{});
  if (in.has_drain()) return ControlOrder(DrainGroup{});
  if (in.has_abort()) return ControlOrder(AbortEpoch{in.abort().reason()});
  if (in.has_cancel()) return ControlOrder(CancelRequest{RequestId{in.cancel().request_id()}});
  if (in.has_submit()) {
    absl::StatusOr<Request> request = ReadRequest(in.submit());
    if (request.ok()) return ControlOrder(*std::move(request));
    return ControlOrder(RefusedRequest{RequestId{in.submit().request_id()}, Message(request.status())});
  }
  if (!in.has_assignment())
    return InvalidArgument("coordinator message: found no known body, expected assignment, submit, cancel, drain, abort or ping");
  const v1::Assignment& assignment = in.assignment();
  if (assignment.meeting().size() > kMeetingBytesMax)
    return InvalidArgument("assignment.meeting: found ", assignment.meeting().size(), " bytes, expected at most ", kMeetingBytesMax);
  DROVER_ASSIGN_OR_RETURN(GroupPlan plan, ReadPlan(assignment.plan()));
  return ControlOrder(Assignment{std::move(plan), assignment.steps_address(), assignment.steps_nonce(), assignment.meeting()});
}

v1::TokenNews WriteNews(const TokenEvent& event) {
  v1::TokenNews news;
  news.set_request_id(Value(event.id));
  news.set_position(event.position);
  if (event.token.has_value()) news.set_token(*event.token);
  if (event.logprob.has_value()) news.set_logprob(event.logprob->logprob);
  for (const TokenLogprob& top : event.top) {
    news.add_top_ids(top.id);
    news.add_top_logprobs(top.logprob);
  }
  news.mutable_prompt_logprobs()->Add(event.prompt_logprobs.begin(), event.prompt_logprobs.end());
  news.set_logits_first_row(event.logits_first_row);
  news.set_finish(static_cast<int32_t>(event.finish));
  news.set_error(event.error);
  news.set_not_taken(event.not_taken);
  news.set_bad_request(event.bad_request);
  return news;
}

v1::WorkerMessage InEpoch(Epoch epoch) {
  v1::WorkerMessage message;
  message.set_epoch(Value(epoch));
  return message;
}

// Fills messages with news, starting another one when the last is full.
class NewsPacker {
 public:
  explicit NewsPacker(Epoch epoch) : epoch_(epoch) {}
  void Add(v1::TokenNews news) {
    const int64_t bytes = static_cast<int64_t>(news.ByteSizeLong());
    if (messages_.empty() || bytes_ + bytes > kMessageBytes) {
      messages_.push_back(InEpoch(epoch_));
      bytes_ = 0;
    }
    bytes_ += bytes;
    *messages_.back().mutable_tokens()->add_news() = std::move(news);
  }
  std::vector<v1::WorkerMessage> Take() { return std::move(messages_); }

 private:
  const Epoch epoch_;
  std::vector<v1::WorkerMessage> messages_;
  int64_t bytes_ = 0;
};

void SetRows(v1::TokenNews& news, std::span<const float> values) {
  if (values.empty()) return;
  news.mutable_logits()->resize(values.size_bytes());
  std::memcpy(news.mutable_logits()->data(), values.data(), values.size_bytes());
}

}  // namespace

absl::StatusOr<ControlMessage> ReadControl(const v1::CoordinatorMessage& in) {
  DROVER_ASSIGN_OR_RETURN(ControlOrder order, ReadOrder(in));
  return ControlMessage{Epoch{in.epoch()}, std::move(order)};
}

v1::WorkerMessage WriteHello(const RankHello& hello) {
  v1::WorkerMessage message;
  v1::Hello& out = *message.mutable_hello();
  out.set_group(hello.group);
  out.set_launch(hello.launch);
  out.set_rank(static_cast<int32_t>(hello.rank));
  out.set_ranks(static_cast<int32_t>(hello.ranks));
  out.set_host(hello.host);
  out.set_pid(hello.pid);
  out.set_memory_bytes(hello.memory_bytes);
  out.set_cores(static_cast<int32_t>(hello.cores));
  out.set_steps_address(hello.steps_address);
  out.set_loaded_fingerprint(hello.loaded_fingerprint);
  out.set_version(hello.version);
  out.set_threads(static_cast<int32_t>(hello.threads));
  out.set_meeting(hello.meeting);
  return message;
}

v1::WorkerMessage WriteProgress(Epoch epoch, int64_t bytes_done, int64_t bytes_total) {
  v1::WorkerMessage message = InEpoch(epoch);
  message.mutable_progress()->set_bytes_done(bytes_done);
  message.mutable_progress()->set_bytes_total(bytes_total);
  return message;
}

v1::WorkerMessage WriteLoaded(Epoch epoch, int64_t weight_bytes) {
  v1::WorkerMessage message = InEpoch(epoch);
  message.mutable_loaded()->set_weight_bytes(weight_bytes);
  return message;
}

v1::WorkerMessage WriteDraining(Epoch epoch) {
  v1::WorkerMessage message = InEpoch(epoch);
  message.mutable_draining();
  return message;
}

v1::WorkerMessage WriteReady(Epoch epoch, double warm_step_ms) {
  v1::WorkerMessage message = InEpoch(epoch);
  message.mutable_ready()->set_warm_step_ms(warm_step_ms);
  return message;
}

v1::WorkerMessage WriteHeartbeat(Epoch epoch, const EngineStats& stats, int64_t resident_bytes) {
  v1::WorkerMessage message = InEpoch(epoch);
  v1::Heartbeat& beat = *message.mutable_heartbeat();
  beat.set_steps_done(stats.steps_done);
  beat.set_resident_bytes(resident_bytes);
  beat.set_running(stats.running);
  beat.set_waiting(stats.waiting);
  beat.set_kv_blocks_used(stats.blocks_used);
  beat.set_prompt_tokens_done(stats.prompt_tokens_done);
  beat.set_output_tokens_done(stats.output_tokens_done);
  beat.set_preemptions(stats.preemptions);
  beat.mutable_gap_counts()->Add(stats.gaps.counts.begin(), stats.gaps.counts.end());
  beat.set_gap_seconds(stats.gaps.seconds);
  return message;
}

v1::WorkerMessage WriteFailure(Epoch epoch, const std::string& operation, const std::string& reason) {
  v1::WorkerMessage message = InEpoch(epoch);
  message.mutable_failure()->set_operation(operation);
  message.mutable_failure()->set_message(reason);
  return message;
}

std::vector<v1::WorkerMessage> WriteTokens(Epoch epoch, const std::vector<TokenEvent>& events, int64_t vocab) {
  NewsPacker packer(epoch);
  const size_t row = static_cast<size_t>(vocab);
  const size_t piece = std::max<size_t>(1, kMessageBytes / sizeof(float) / row) * row;  // values of a message
  for (const TokenEvent& event : events) {
    v1::TokenNews last = WriteNews(event);
    std::span<const float> rest(event.logits);
    while (rest.size() > piece) {
      v1::TokenNews rows;  // rows alone; the token and what ends the request travel with the last of them
      rows.set_request_id(last.request_id());
      rows.set_position(last.position());
      rows.set_logits_first_row(last.logits_first_row());
      SetRows(rows, rest.first(piece));
      packer.Add(std::move(rows));
      rest = rest.subspan(piece);
      last.set_logits_first_row(last.logits_first_row() + static_cast<int64_t>(piece / row));
    }
    SetRows(last, rest);
    packer.Add(std::move(last));
  }
  return packer.Take();
}

}  // namespace drover
