// See routes.h.
#include "coordinator/http/routes.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "coordinator/http/openai_request.h"
#include "coordinator/http/openai_response.h"
#include "coordinator/http/openai_session.h"

namespace drover {
namespace {

constexpr std::string_view kVersion = DROVER_VERSION;
constexpr size_t kRequestIdBytesMax = 128;
constexpr double kTimeoutSecondsMax = 86'400;

struct Call {
  Coordinator& coordinator;
  HttpRequest request;
  std::shared_ptr<HttpReply> reply;
  HttpHeaders headers;  // of every answer: the echoed request id
  int64_t now = 0;      // seconds since 1970
  std::optional<Duration> timeout;
  std::function<void(int status)> done;
};

void Answer(const Call& call, int status, std::string body, const char* type = "application/json") {
  HttpHeaders headers = call.headers;
  if (!body.empty()) headers.emplace_back("Content-Type", type);
  if (status == 429 || status == 503) headers.emplace_back("Retry-After", "1");
  call.done(status);  // first, so that who has the answer finds it counted
  call.reply->Send(status, std::move(headers), std::move(body));
}

void AnswerError(const Call& call, const absl::Status& why) {
  const HttpError error = ToHttpError(why);
  Answer(call, error.status, Dump(ErrorJson(error)));
}

void Generate(Call& call, bool chat) {
  absl::StatusOr<Json> body = ParseJson(call.request.body);
  if (!body.ok()) return AnswerError(call, InvalidArgument("the body is ", Message(body.status())));
  absl::StatusOr<OpenAiRequest> request = chat ? ParseChat(*body) : ParseCompletion(*body);
  if (!request.ok()) return AnswerError(call, request.status());
  const ModelInfo& model = call.coordinator.model();
  if (request->echo && !model.has_tokenizer)
    return AnswerError(call, FailedPrecondition("echo: this model has no tokenizer"));
  request->common.timeout = call.timeout;
  const std::string id = Cat(chat ? "chatcmpl-" : "cmpl-", call.now, "-", call.coordinator.NewAnswerNumber());
  RunOpenAi(call.coordinator, *std::move(request), {.id = id, .model = model.name, .created = call.now, .chat = chat}, call.headers,
            call.reply, call.done);
}

void ChatCompletions(Call& call) { Generate(call, true); }
void Completions(Call& call) { Generate(call, false); }

void Models(Call& call) { Answer(call, 200, Dump(ModelsJson(call.coordinator.model(), call.coordinator.view()->max_model_len))); }

void Health(Call& call) {
  const bool ready = call.coordinator.view()->ready;
  if (ready) return Answer(call, 200, "");
  AnswerError(call, Unavailable("no group of workers is ready"));
}

// The process answers; whether the model does is /health's to say.
void Ping(Call& call) { Answer(call, 200, ""); }

void Version(Call& call) { Answer(call, 200, Dump({{"version", std::string(kVersion)}})); }

void Load(Call& call) { Answer(call, 200, Dump({{"server_load", call.coordinator.view()->in_flight}})); }

void MetricsText(Call& call) { Answer(call, 200, call.coordinator.metrics().Text(), "text/plain; version=0.0.4; charset=utf-8"); }

absl::Status CheckModel(const std::string& asked, const ModelInfo& model) {
  if (asked.empty() || asked == model.name) return absl::OkStatus();
  return NotFound("the model does not exist");
}

absl::StatusOr<Json> Tokenize(const std::string& text, const Coordinator& coordinator) {
  absl::StatusOr<Json> body = ParseJson(text);
  if (!body.ok()) return InvalidArgument("the body is ", Message(body.status()));
  DROVER_ASSIGN_OR_RETURN(const TokenizeBody request, ParseTokenize(*body));
  DROVER_RETURN_IF_ERROR(CheckModel(request.model, coordinator.model()));
  DROVER_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, EncodePrompt(request.prompt, coordinator.text()));
  Json out = {{"count", ids.size()}, {"max_model_len", coordinator.view()->max_model_len}, {"tokens", ids}};
  if (!request.return_token_strs) return out;
  out["token_strs"] = Json::array();
  for (const int32_t id : ids) out["token_strs"].push_back(coordinator.text().TokenText(id));
  return out;
}

absl::StatusOr<Json> Detokenize(const std::string& text, const Coordinator& coordinator) {
  absl::StatusOr<Json> body = ParseJson(text);
  if (!body.ok()) return InvalidArgument("the body is ", Message(body.status()));
  DROVER_ASSIGN_OR_RETURN(const DetokenizeBody request, ParseDetokenize(*body));
  DROVER_RETURN_IF_ERROR(CheckModel(request.model, coordinator.model()));
  for (const int32_t id : request.tokens)
    if (id >= coordinator.model().vocab) return InvalidArgument("tokens: found token id ", id, ", expected 0 to ", coordinator.model().vocab - 1);
  DROVER_ASSIGN_OR_RETURN(std::string decoded, coordinator.text().Decode(request.tokens, false));
  return Json{{"prompt", std::move(decoded)}};
}

using TextCall = absl::StatusOr<Json> (*)(const std::string& body, const Coordinator& coordinator);

void OffLoop(Call& call, TextCall work) {
  const absl::Status started = call.coordinator.RunText([call, work] {
    const absl::StatusOr<Json> out = work(call.request.body, call.coordinator);
    if (!out.ok()) return AnswerError(call, out.status());
    Answer(call, 200, Dump(*out));
  });
  if (!started.ok()) AnswerError(call, started);
}

void TokenizeRoute(Call& call) { OffLoop(call, Tokenize); }
void DetokenizeRoute(Call& call) { OffLoop(call, Detokenize); }

struct Route {
  std::string_view method, path;
  void (*handle)(Call& call);
};
constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", ChatCompletions},
    {"POST", "/v1/completions", Completions},
    {"GET", "/v1/models", Models},
    {"POST", "/tokenize", TokenizeRoute},
    {"POST", "/detokenize", DetokenizeRoute},
    {"GET", "/health", Health},
    {"GET", "/ping", Ping},
    {"GET", "/version", Version},
    {"GET", "/load", Load},
    {"GET", "/metrics", MetricsText},
};

bool IsJson(std::string_view type) {
  std::string lower(type.substr(0, type.find(';')));
  while (!lower.empty() && lower.back() == ' ') lower.pop_back();
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower == "application/json";
}

// The echoed id and the deadline; anything but a short visible id or a number of seconds is refused.
absl::Status ReadHeaders(Call& call) {
  const std::string_view id = call.request.Header("x-request-id");
  const bool visible = std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (id.size() > kRequestIdBytesMax || !visible)
    return InvalidArgument("x-request-id: expected at most ", kRequestIdBytesMax, " visible ASCII characters");
  if (!id.empty()) call.headers.emplace_back("X-Request-Id", std::string(id));
  const std::string_view seconds = call.request.Header("x-request-timeout");
  if (seconds.empty()) return absl::OkStatus();
  double value = 0;
  const auto [end, error] = std::from_chars(seconds.data(), seconds.data() + seconds.size(), value);
  if (error != std::errc() || end != seconds.data() + seconds.size() || !(value > 0))
    return InvalidArgument("x-request-timeout: expected a number of seconds above 0");
  value = std::min(value, kTimeoutSecondsMax);
  call.timeout = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
  return absl::OkStatus();
}

void RefuseMethod(const Call& call, std::string_view allowed) {
  HttpHeaders headers = call.headers;
  headers.emplace_back("Allow", std::string(allowed));
  headers.emplace_back("Content-Type", "application/json");
  call.done(405);
  call.reply->Send(405, std::move(headers), ErrorBody(405, Cat("the method is not allowed here, expected ", allowed)));
}

void Handle(Call& call) {
  if (const absl::Status read = ReadHeaders(call); !read.ok()) return AnswerError(call, read);
  if (call.request.path == Cat("/v1/models/", call.coordinator.model().name) && call.request.method == "GET")
    return Answer(call, 200, Dump(ModelJson(call.coordinator.model(), call.coordinator.view()->max_model_len)));
  const auto route = std::find_if(std::begin(kRoutes), std::end(kRoutes), [&](const Route& r) { return r.path == call.request.path; });
  if (route == std::end(kRoutes)) return AnswerError(call, NotFound("there is no such route"));
  const bool head = call.request.method == "HEAD" && route->method == "GET";
  if (call.request.method != route->method && !head) return RefuseMethod(call, route->method);
  if (route->method == "POST") {
    const std::string_view encoding = call.request.Header("content-encoding");
    if (!encoding.empty() && encoding != "identity") return Answer(call, 415, ErrorBody(415, "content-encoding: only identity is read"));
    if (!IsJson(call.request.Header("content-type")))
      return Answer(call, 415, ErrorBody(415, "content-type: expected application/json"));
  }
  route->handle(call);
}

// Handler names for metrics: known routes only, so that clients cannot make new series.
std::string HandlerName(const std::string& path) {
  for (const Route& route : kRoutes)
    if (route.path == path) return path;
  return "other";
}

std::string MethodName(const std::string& method) {
  for (const char* known : {"GET", "POST", "HEAD"})
    if (method == known) return method;
  return "other";
}

}  // namespace

HttpHandler MakeRoutes(Coordinator& coordinator, std::function<int64_t()> wall_seconds) {
  return [&coordinator, wall_seconds = std::move(wall_seconds)](HttpRequest request, std::shared_ptr<HttpReply> reply) {
    const auto started = std::chrono::steady_clock::now();
    Call call{coordinator, std::move(request), std::move(reply), {}, wall_seconds(), std::nullopt, {}};
    call.done = [&coordinator, started, handler = HandlerName(call.request.path), method = MethodName(call.request.method)](int status) {
      coordinator.metrics().HttpAnswered(handler, method, status, Seconds(std::chrono::steady_clock::now() - started));
    };
    Handle(call);
  };
}

}  // namespace drover
