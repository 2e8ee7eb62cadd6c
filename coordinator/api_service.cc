// See api_service.h. Answers are queued under a byte limit: a client that does not read is cancelled, it never holds memory or a thread.
#include "coordinator/api_service.h"

#include <deque>
#include <utility>

#include "coordinator/convert.h"
#include "drover/v1/api.grpc.pb.h"

namespace drover {
namespace {

constexpr size_t kUnreadBytesMax = 256 << 10;
constexpr size_t kUnreadLogitsBytesMax = 512 << 20;  // an operator's verify run, not a client's
constexpr Duration kTimeoutMax = std::chrono::hours(1);
constexpr int64_t kDetokenizeIdsMax = 1 << 20;

class GenerateReactor final : public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  explicit GenerateReactor(Coordinator& coordinator) : coordinator_(coordinator) {}

  // `self` keeps the reactor alive while the library or the coordinator may still call it.
  void Start(const v1::GenerateRequest& in, std::optional<Duration> timeout, std::shared_ptr<GenerateReactor> self) {
    self_ = self;
    absl::StatusOr<ClientRequest> request = FromProto(in);
    if (!request.ok()) return End(ToGrpc(request.status()));
    request->timeout = timeout;
    unread_max_ = request->logits == LogitsWanted::kNone ? kUnreadBytesMax : kUnreadLogitsBytesMax;
    std::shared_ptr<Ticket> ticket = coordinator_.Generate(*std::move(request), [self](Piece piece) { self->Hear(std::move(piece)); });
    MutexLock lock(mutex_);
    ticket_ = ticket;
    if (cancelled_) coordinator_.Cancel(ticket_, Cancelled("the client left"));
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    unread_ -= responses_.front().ByteSizeLong();
    responses_.pop_front();
    if (!ok) responses_.clear();
    WriteOrFinish();
  }

  void OnCancel() override {
    MutexLock lock(mutex_);
    cancelled_ = true;
    if (ticket_ != nullptr) coordinator_.Cancel(ticket_, Cancelled("the client left"));
  }

  void OnDone() override { self_.reset(); }

 private:
  void Hear(Piece piece) {
    const bool over = piece.finish != FinishReason::kNone;
    const bool failed = piece.finish == FinishReason::kError || piece.finish == FinishReason::kCancelled;
    MutexLock lock(mutex_);
    if (ending_) return;
    const bool slow = unread_ > unread_max_ + largest_;  // one response may be larger, and others follow while it is on its way
    if (!failed) {
      for (v1::GenerateResponse& response : ToProto(piece, first_, coordinator_.model().vocab)) {
        const size_t size = response.ByteSizeLong();
        unread_ += size;
        largest_ = std::max(largest_, size);
        responses_.push_back(std::move(response));
      }
      first_ = false;
    }
    if (over) ending_ = failed ? ToGrpc(piece.error) : grpc::Status::OK;
    if (!over && slow) {
      ending_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "slow_consumer: the client does not read its answer");
      responses_.resize(std::min<size_t>(responses_.size(), writing_ ? 1 : 0));
      if (ticket_ != nullptr) coordinator_.Cancel(ticket_, Cancelled("slow_consumer"));
    }
    WriteOrFinish();
  }

  void End(grpc::Status status) {
    MutexLock lock(mutex_);
    ending_ = std::move(status);
    WriteOrFinish();
  }

  void WriteOrFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (!responses_.empty()) {
      writing_ = true;
      StartWrite(&responses_.front());
    } else if (ending_) {
      finished_ = true;
      Finish(*ending_);
    }
  }

  Coordinator& coordinator_;
  std::shared_ptr<GenerateReactor> self_;
  size_t unread_max_ = kUnreadBytesMax;
  Mutex mutex_;
  std::shared_ptr<Ticket> ticket_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::GenerateResponse> responses_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> ending_ ABSL_GUARDED_BY(mutex_);
  size_t unread_ ABSL_GUARDED_BY(mutex_) = 0, largest_ ABSL_GUARDED_BY(mutex_) = 0;
  bool first_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

// What the client's deadline leaves, an hour at most; nullopt without one.
std::optional<Duration> TimeoutOf(const grpc::CallbackServerContext& context) {
  if (context.deadline() == std::chrono::system_clock::time_point::max()) return std::nullopt;
  return std::min<Duration>(context.deadline() - std::chrono::system_clock::now(), kTimeoutMax);
}

absl::Status CheckModel(const std::string& asked, const ModelInfo& model) {
  if (asked.empty() || asked == model.name) return absl::OkStatus();
  return NotFound("the model does not exist");
}

absl::StatusOr<std::vector<int32_t>> Tokenize(const v1::TokenizeRequest& in, const Coordinator& coordinator) {
  DROVER_RETURN_IF_ERROR(CheckModel(in.model(), coordinator.model()));
  if (in.has_text())
    return coordinator.text().Encode(in.text(), !in.has_add_special_tokens() || in.add_special_tokens(), in.parse_special());
  if (!in.has_chat()) return InvalidArgument("input: found none, expected text or chat");
  DROVER_ASSIGN_OR_RETURN(const ChatInput chat, FromProto(in.chat()));
  return coordinator.text().EncodeChat(chat);
}

absl::StatusOr<std::string> Detokenize(const v1::DetokenizeRequest& in, const Coordinator& coordinator) {
  DROVER_RETURN_IF_ERROR(CheckModel(in.model(), coordinator.model()));
  if (in.ids_size() > kDetokenizeIdsMax) return InvalidArgument("ids: found ", in.ids_size(), ", expected at most ", kDetokenizeIdsMax);
  for (const int32_t id : in.ids())
    if (id < 0 || id >= coordinator.model().vocab)
      return InvalidArgument("ids: found token id ", id, ", expected 0 to ", coordinator.model().vocab - 1);
  return coordinator.text().Decode({in.ids().begin(), in.ids().end()}, in.skip_special_tokens());
}

class ApiService final : public v1::Drover::CallbackService {
 public:
  explicit ApiService(Coordinator& coordinator) : coordinator_(coordinator) {}

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context, const v1::GenerateRequest* in) override {
    auto reactor = std::make_shared<GenerateReactor>(coordinator_);
    reactor->Start(*in, TimeoutOf(*context), reactor);
    return reactor.get();
  }

  // The library keeps request and response until Finish.
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context, const v1::TokenizeRequest* in,
                                     v1::TokenizeResponse* out) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const absl::Status started = coordinator_.RunText([this, in, out, reactor] {
      const absl::StatusOr<std::vector<int32_t>> ids = drover::Tokenize(*in, coordinator_);
      if (ids.ok()) out->mutable_ids()->Add(ids->begin(), ids->end());
      out->set_max_model_len(coordinator_.view()->max_model_len);
      reactor->Finish(ToGrpc(ids.status()));
    });
    if (!started.ok()) reactor->Finish(ToGrpc(started));
    return reactor;
  }

  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context, const v1::DetokenizeRequest* in,
                                       v1::DetokenizeResponse* out) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    const absl::Status started = coordinator_.RunText([this, in, out, reactor] {
      absl::StatusOr<std::string> text = drover::Detokenize(*in, coordinator_);
      if (text.ok()) out->set_text(*text);
      reactor->Finish(ToGrpc(text.status()));
    });
    if (!started.ok()) reactor->Finish(ToGrpc(started));
    return reactor;
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context, const v1::ListModelsRequest*,
                                       v1::ListModelsResponse* out) override {
    const ModelInfo& info = coordinator_.model();
    v1::Model& model = *out->add_models();
    model.set_id(info.name);
    model.set_family(info.family);
    model.set_parameters(info.parameters);
    model.set_max_model_len(coordinator_.view()->max_model_len);
    model.set_ready(coordinator_.view()->ready);
    model.set_has_tokenizer(info.has_tokenizer);
    model.set_has_chat_template(info.has_chat_template);
    *model.mutable_default_sampling() = ToProto(info.defaults);
    if (info.default_max_tokens) model.set_default_max_tokens(*info.default_max_tokens);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context, const v1::GetClusterRequest*,
                                       v1::GetClusterResponse* out) override {
    *out = ToProto(*coordinator_.view(), coordinator_.model().name);
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  Coordinator& coordinator_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeApiService(Coordinator& coordinator) { return std::make_unique<ApiService>(coordinator); }

}  // namespace drover
