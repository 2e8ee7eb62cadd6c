// See openai_session.h.
#include "coordinator/http/openai_session.h"

#include <algorithm>
#include <utility>

#include "common/mutex.h"

namespace drover {
namespace {

class Session final : public std::enable_shared_from_this<Session> {
 public:
  Session(Coordinator& coordinator, OpenAiRequest request, OpenAiFrame frame, HttpHeaders headers, std::shared_ptr<HttpReply> reply,
          std::function<void(int)> done)
      : coordinator_(coordinator), request_(std::move(request)), frame_(std::move(frame)), headers_(std::move(headers)),
        reply_(std::move(reply)), done_(std::move(done)), choices_(request_.prompts.size() * static_cast<size_t>(request_.n)) {
    for (size_t i = 0; i < choices_.size(); ++i) choices_[i].answer.index = static_cast<int64_t>(i);
  }

  void Start() {
    reply_->OnGone([self = shared_from_this()] { self->ClientLeft(); });
    for (size_t i = 0; i < choices_.size(); ++i) {
      ClientRequest one = request_.common;
      one.prompt = request_.prompts[i / static_cast<size_t>(request_.n)];
      one.choice = static_cast<int64_t>(i) % request_.n;
      one.want_prompt = request_.echo;
      std::shared_ptr<Ticket> ticket =
          coordinator_.Generate(std::move(one), [self = shared_from_this(), i](Piece piece) { self->Hear(i, std::move(piece)); });
      MutexLock lock(mutex_);
      choices_[i].ticket = ticket;
      if (over_ && !choices_[i].ended) coordinator_.Cancel(ticket, Cancelled("another part of the request failed"));
    }
  }

 private:
  struct Choice {
    std::shared_ptr<Ticket> ticket;
    OpenAiChoice answer;
    Usage usage;
    bool started = false, ended = false;
  };

  void ClientLeft() {
    MutexLock lock(mutex_);
    if (over_) return;
    Finish(499);
    CancelOthers("the client left");
  }

  void Hear(size_t index, Piece piece) {
    MutexLock lock(mutex_);
    Choice& choice = choices_[index];
    if (piece.finish != FinishReason::kNone) choice.ended = true;
    if (over_) return;
    if (piece.finish == FinishReason::kError || piece.finish == FinishReason::kCancelled) return Fail(piece.error);
    if (piece.usage.prompt_tokens > 0) choice.usage = piece.usage;
    OpenAiChoice news = News(choice, piece);
    if (request_.stream) {
      Stream(choice, news);
    } else {
      Collect(choice, std::move(news));
    }
    if (std::all_of(choices_.begin(), choices_.end(), [](const Choice& c) { return c.ended; })) Complete();
  }

  OpenAiChoice News(const Choice& choice, Piece& piece) const {
    OpenAiChoice news{.index = choice.answer.index,
                      .text = std::move(piece.text),
                      .tokens = std::move(piece.tokens),
                      .text_offset = choice.answer.text_offset,
                      .logprobs = request_.common.logprobs >= 0,
                      .token_ids = request_.return_token_ids,
                      .finish = piece.finish,
                      .stop_reason = std::move(piece.stop_reason),
                      .stop_token = piece.stop_token};
    if (!piece.prompt.empty()) Echo(piece, news);
    return news;
  }

  // The prompt in front of the answer, its tokens scored from the second on.
  void Echo(const Piece& piece, OpenAiChoice& news) const {
    std::vector<ShownToken> tokens;
    for (size_t i = 0; i < piece.prompt.size(); ++i) {
      ShownToken token{.id = piece.prompt[i], .text = coordinator_.text().TokenText(piece.prompt[i])};
      if (i > 0 && i - 1 < piece.prompt_logprobs.size()) token.logprob = piece.prompt_logprobs[i - 1];
      tokens.push_back(std::move(token));
    }
    const absl::StatusOr<std::string> text = coordinator_.text().Decode(piece.prompt, true);
    news.text = Cat(text.ok() ? *text : "", news.text);
    if (news.logprobs) news.tokens.insert(news.tokens.begin(), tokens.begin(), tokens.end());
  }

  void Collect(Choice& choice, OpenAiChoice news) {
    OpenAiChoice& answer = choice.answer;
    answer.text += news.text;
    std::move(news.tokens.begin(), news.tokens.end(), std::back_inserter(answer.tokens));
    answer.logprobs = news.logprobs;
    answer.token_ids = news.token_ids;
    answer.finish = news.finish;
    answer.stop_reason = std::move(news.stop_reason);
    answer.stop_token = news.stop_token;
  }

  void Stream(Choice& choice, const OpenAiChoice& news) {
    if (!streaming_) {
      streaming_ = true;
      HttpHeaders headers = headers_;
      headers.emplace_back("Content-Type", "text/event-stream; charset=utf-8");
      headers.emplace_back("Cache-Control", "no-cache");
      reply_->Begin(200, std::move(headers));
    }
    const bool first = !std::exchange(choice.started, true);
    if (first && frame_.chat) Write(Chunk(frame_, {.index = news.index}, true), choice);
    for (const ShownToken& token : news.tokens) choice.answer.text_offset += CountCharacters(token.text);
    const bool says = !news.text.empty() || news.finish != FinishReason::kNone ||
                      (!news.tokens.empty() && (news.logprobs || news.token_ids));
    if (says) Write(Chunk(frame_, news, false), choice);
  }

  void Write(Json chunk, const Choice& choice) {
    if (request_.continuous_usage) chunk["usage"] = UsageJson(choice.usage);
    reply_->Write(Event(chunk));
  }

  // Prompts count once however many answers each has.
  Usage Total() const {
    Usage total;
    for (size_t i = 0; i < choices_.size(); ++i) {
      if (static_cast<int64_t>(i) % request_.n == 0) total.prompt_tokens += choices_[i].usage.prompt_tokens;
      total.completion_tokens += choices_[i].usage.completion_tokens;
    }
    return total;
  }

  void Complete() {
    Finish(200);  // first, so that who has the answer finds it counted
    if (request_.stream) {
      if (request_.include_usage) reply_->Write(Event(UsageChunk(frame_, Total())));
      reply_->Write(std::string(kStreamEnd));
      return reply_->End();
    }
    std::vector<OpenAiChoice> answers;
    for (Choice& choice : choices_) answers.push_back(std::move(choice.answer));
    HttpHeaders headers = headers_;
    headers.emplace_back("Content-Type", "application/json");
    reply_->Send(200, std::move(headers), Dump(WholeAnswer(frame_, answers, Total())));
  }

  void Fail(const absl::Status& why) {
    const HttpError error = ToHttpError(why);
    Finish(streaming_ ? 200 : error.status);
    if (streaming_) {
      reply_->Write(Event(ErrorJson(error)));
      reply_->Write(std::string(kStreamEnd));
      reply_->End();
    } else {
      HttpHeaders headers = headers_;
      headers.emplace_back("Content-Type", "application/json");
      if (error.status == 429 || error.status == 503) headers.emplace_back("Retry-After", "1");
      reply_->Send(error.status, std::move(headers), Dump(ErrorJson(error)));
    }
    CancelOthers("another part of the request failed");
  }

  void CancelOthers(const char* why) {
    for (const Choice& choice : choices_)
      if (choice.ticket != nullptr && !choice.ended) coordinator_.Cancel(choice.ticket, Cancelled(why));
  }

  void Finish(int status) {
    over_ = true;
    done_(status);
  }

  Coordinator& coordinator_;
  const OpenAiRequest request_;
  const OpenAiFrame frame_;
  const HttpHeaders headers_;
  const std::shared_ptr<HttpReply> reply_;
  const std::function<void(int)> done_;
  Mutex mutex_;
  std::vector<Choice> choices_ ABSL_GUARDED_BY(mutex_);
  bool streaming_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

void RunOpenAi(Coordinator& coordinator, OpenAiRequest request, OpenAiFrame frame, HttpHeaders headers,
               std::shared_ptr<HttpReply> reply, std::function<void(int)> done) {
  // Owned by the callbacks it leaves with the coordinator and the connection.
  std::make_shared<Session>(coordinator, std::move(request), std::move(frame), std::move(headers), std::move(reply), std::move(done))->Start();
}

}  // namespace drover
