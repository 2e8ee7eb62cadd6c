// Refusals, row by row: what may not be sent, and the status and field that say so. Rows are named after the catalogue of bad
// inputs (H transport, J JSON, A fields) and the wire conventions (W).
#include "tests/coordinator/served.h"

#include "common/json.h"

namespace drover::testing {
namespace {

using namespace std::chrono_literals;

class Conformance : public Served {
 protected:
  // A working request after every row: nothing the row sent may hurt another.
  void CheckStillServes() {
    EXPECT_EQ(Post(ports_.http, "/v1/completions", R"({"prompt": "x", "max_tokens": 1})").status, 200);
  }
};

struct RawRow {
  const char* name;
  std::string bytes;
  int status;  // 0: closed without an answer
  bool closes = true;
};

std::string Head(const std::string& lines) { return "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" + lines; }

std::vector<RawRow> TransportRows() {
  const std::string body = R"({"prompt": "x", "max_tokens": 1})";
  const std::string length = Cat("Content-Length: ", body.size(), "\r\n");
  std::string many;
  for (int i = 0; i < 100; ++i) many += Cat("x-", i, ": 1\r\n");
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
  return {
      {"H04 a header line of 12 KiB without an end", "GET /health HTTP/1.1\r\nHost: t\r\nx: " + std::string(12 << 10, 'a'), 431},
      {"H04 a head of 20 KiB", "GET /health HTTP/1.1\r\nHost: t\r\na: " + std::string(7000, 'a') + "\r\nb: " +
                                   std::string(7000, 'b') + "\r\nc: " + std::string(7000, 'c') + "\r\n\r\n", 431},
      {"H05 a hundred headers", "GET /health HTTP/1.1\r\nHost: t\r\n" + many + "\r\n", 431},
      {"H06 a target of 5 KiB", "GET /" + std::string(5 << 10, 'a') + " HTTP/1.1\r\nHost: t\r\n\r\n", 414},
      {"H07 two different lengths", Head("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400},
      {"H07 one length twice", Head("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), 400},
      {"H07 a signed length", Head("Content-Length: +5\r\n\r\nhello"), 400},
      {"H08 length and encoding", Head(length + chunked + "0\r\n\r\n"), 400},
      {"H08 chunked, identity", Head("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 400},
      {"H08 xchunked", Head("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400},
      {"H08 chunked twice", Head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
      {"H08 chunked in HTTP/1.0", "POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n" + chunked + "0\r\n\r\n", 400},
      {"H09 a chunk size of -1", Head(chunked + "-1\r\nx\r\n0\r\n\r\n"), 400},
      {"H09 a chunk size of 17 digits", Head(chunked + "11111111111111111\r\nx\r\n"), 400},
      {"H09 a chunk size with 0x", Head(chunked + "0x10\r\nx\r\n0\r\n\r\n"), 400},
      {"H09 a chunk without its CRLF", Head(chunked + "1\r\nxx0\r\n\r\n"), 400},
      {"H09 a chunk extension", Head(chunked + "1;a=b\r\nx\r\n0\r\n\r\n"), 400},
      {"H10 a bare line feed", "GET /health HTTP/1.1\nHost: t\n\n", 400},
      {"H10 a bare line feed in the headers", "GET /health HTTP/1.1\r\nHost: t\nx: y\r\n\r\n", 400},
      {"H10 a folded header", "GET /health HTTP/1.1\r\nHost: t\r\nx: a\r\n b\r\n\r\n", 400},
      {"H10 a space before the colon", "GET /health HTTP/1.1\r\nHost: t\r\nx : a\r\n\r\n", 400},
      {"H10 a NUL", std::string("GET /health HTTP/1.1\r\nHost: t\r\nx: a\0b\r\n\r\n", 41), 400},
      {"H10 a CR in a value", "GET /health HTTP/1.1\r\nHost: t\r\nx: a\rb\r\n\r\n", 400},
      {"H11 a declared body of 5 GiB", Head("Content-Length: 5368709120\r\n\r\n"), 413},
      {"H13 a compressed body", Head("Content-Encoding: gzip\r\n" + length + "\r\n" + body), 415, false},
      {"H14 no content type", "POST /v1/completions HTTP/1.1\r\nHost: t\r\n" + length + "\r\n" + body, 415, false},
      {"H14 a form", "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-www-form-urlencoded\r\n" + length + "\r\n" + body, 415, false},
      {"H15 PUT", "PUT /v1/completions HTTP/1.1\r\nHost: t\r\n\r\n", 405, false},
      {"H15 GET on a POST route", "GET /v1/completions HTTP/1.1\r\nHost: t\r\n\r\n", 405, false},
      {"H15 TRACE", "TRACE / HTTP/1.1\r\nHost: t\r\n\r\n", 405},
      {"H15 CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: t\r\n\r\n", 405},
      {"H15 a method of 4 KiB", std::string(5 << 10, 'A') + " / HTTP/1.1\r\nHost: t\r\n\r\n", 501},
      {"H16 dot segments", "GET /v1/../health HTTP/1.1\r\nHost: t\r\n\r\n", 404, false},
      {"H16 two slashes", "GET //health HTTP/1.1\r\nHost: t\r\n\r\n", 404, false},
      {"H16 encoded dots", "GET /v1/%2e%2e/health HTTP/1.1\r\nHost: t\r\n\r\n", 404, false},
      {"H16 an absolute target", "GET http://other/health HTTP/1.1\r\nHost: t\r\n\r\n", 400},
      {"H16 no host", "GET /health HTTP/1.1\r\n\r\n", 400},
      {"H16 two hosts", "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"H17 a strange expectation", Head("Expect: weird\r\n" + length + "\r\n" + body), 417},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"not HTTP at all", "hello\r\n\r\n", 400},
  };
}

TEST_F(Conformance, TransportRowsAreRefusedAndHurtNobody) {
  StartWith({});
  for (const RawRow& row : TransportRows()) {
    SCOPED_TRACE(row.name);
    RawClient client(ports_.http);
    client.Send(row.bytes);
    const RawAnswer answer = client.Read(5s);
    EXPECT_EQ(answer.status, row.status) << answer.body;
    EXPECT_EQ(answer.headers.contains("connection"), row.closes);
    if (row.closes) {
      EXPECT_TRUE(client.ClosedWithin(5s));
    }
    if (answer.status != 0) {
      EXPECT_EQ(ParseJson(answer.body)->at("error").at("code"), row.status);
    }
  }
  CheckStillServes();
  EXPECT_TRUE(Quiet());
}

TEST_F(Conformance, ClientsThatDawdleAreClosed) {
  listen_.http_limits.head_within = 200ms;
  listen_.http_limits.body_within = 200ms;
  listen_.http_limits.idle_within = 200ms;
  StartWith({});
  RawClient silent(ports_.http), slow_head(ports_.http), slow_body(ports_.http), idle(ports_.http);
  slow_head.Send("GET /he");
  slow_body.Send(Head("Content-Length: 10\r\n\r\nab"));
  idle.Send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(idle.Read().status, 200);
  EXPECT_EQ(slow_head.Read().status, 408);  // H02
  EXPECT_EQ(slow_body.Read().status, 408);  // H03
  EXPECT_TRUE(silent.ClosedWithin(5s));     // H01
  EXPECT_EQ(silent.Read().status, 0);
  EXPECT_TRUE(idle.ClosedWithin(5s));
  CheckStillServes();
}

// The read that the deadline cut off still holds places in the buffer; for the address sanitizer to judge.
TEST_F(Conformance, BytesAfterARefusedBodyAreDropped) {
  listen_.http_limits.body_within = 200ms;
  StartWith({});
  RawClient client(ports_.http);
  client.Send(Head("Transfer-Encoding: chunked\r\n\r\n"));
  EXPECT_NE(client.ReadUntil("408").find("408"), std::string::npos);
  client.Send(std::string(7800, '1'));  // a chunk size without an end fills the buffer, which then grows
  std::this_thread::sleep_for(100ms);
  client.Send(std::string(4000, '2'));
  EXPECT_TRUE(client.ClosedWithin(5s));
  CheckStillServes();
}

TEST_F(Conformance, TransportFormsThatAreServed) {
  StartWith({});
  const std::string body = R"({"prompt": "x", "max_tokens": 1})";
  RawClient chunked(ports_.http);
  chunked.Send(Head("Transfer-Encoding: chunked\r\n\r\n") + Cat("5\r\n", body.substr(0, 5), "\r\n1b\r\n", body.substr(5), "\r\n0\r\n\r\n"));
  EXPECT_EQ(chunked.Read().status, 200);
  RawClient expecting(ports_.http);
  expecting.Send(Head(Cat("Expect: 100-continue\r\nContent-Length: ", body.size(), "\r\n\r\n")));
  EXPECT_EQ(expecting.Read().status, 100);
  expecting.Send(body);
  EXPECT_EQ(expecting.Read().status, 200);
  RawClient upgrade(ports_.http);  // H17: ignored
  upgrade.Send("GET /version HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
  EXPECT_EQ(upgrade.Read().status, 200);
  RawClient pipelined(ports_.http);  // H12: what follows the body is a request of its own
  pipelined.Send(PostText("/v1/completions", body) + "junk\r\n\r\n");
  EXPECT_EQ(pipelined.Read().status, 200);
  EXPECT_EQ(pipelined.Read().status, 400);
  RawClient two(ports_.http);
  two.Send(PostText("/v1/completions", body) + PostText("/v1/completions", body));
  EXPECT_EQ(two.Read().status, 200);
  EXPECT_EQ(two.Read().status, 200);
  RawClient head(ports_.http);
  head.Send("HEAD /version HTTP/1.1\r\nHost: t\r\n\r\nGET /version HTTP/1.1\r\nHost: t\r\n\r\n");
  const std::string both = head.ReadUntil("version\"");
  EXPECT_NE(both.find("HTTP/1.1 200 OK", 10), std::string::npos) << both;
}

TEST_F(Conformance, TooManyChunksAndConnectionsAreRefused) {
  listen_.http_limits.chunks = 100;
  listen_.http_limits.connections_per_address = 3;
  StartWith({});
  {
    std::string bytes = Head("Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200; ++i) bytes += "1\r\nx\r\n";
    RawClient client(ports_.http);
    client.Send(bytes);
    EXPECT_EQ(client.Read().status, 413);  // H09
  }
  CheckStillServes();
  RawClient a(ports_.http), b(ports_.http), c(ports_.http);
  for (RawClient* one : {&a, &b, &c}) one->Send("GET /version HTTP/1.1\r\nHost: t\r\n\r\n");
  for (RawClient* one : {&a, &b, &c}) EXPECT_EQ(one->Read().status, 200);
  RawClient d(ports_.http);
  EXPECT_EQ(d.Read().status, 503);
}

struct BodyRow {
  const char* name;
  std::string path, body;
  int status;
  const char* param = nullptr;  // null: none expected
};

std::string Chat(const std::string& fields) { return R"({"messages": [{"role": "user", "content": "x"}], )" + fields + "}"; }
std::string Complete(const std::string& fields) { return R"({"prompt": "x", )" + fields + "}"; }
std::string Nested(const std::string& open, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += open;
  return out;
}
std::string Repeated(const std::string& item, int count) {
  std::string out = item;
  for (int i = 1; i < count; ++i) out += "," + item;
  return out;
}

const char* const kChat = "/v1/chat/completions";
const char* const kCompletions = "/v1/completions";

std::vector<BodyRow> JsonRows() {
  return {
      {"J01 empty", kCompletions, "", 400},
      {"J01 null", kCompletions, "null", 400},
      {"J01 array", kCompletions, "[]", 400},
      {"J01 string", kChat, "\"x\"", 400},
      {"J02 deep arrays", kCompletions, Nested("[", 100'000), 400},
      {"J02 deep objects", kChat, Nested("{\"a\":", 100'000), 400},
      {"J03 truncated", kCompletions, R"({"prompt": "x")", 400},
      {"J03 trailing bytes", kCompletions, R"({"prompt": "x"} x)", 400},
      {"J03 a comment", kCompletions, R"({"prompt": "x" /* */})", 400},
      {"J03 single quotes", kCompletions, "{'prompt': 'x'}", 400},
      {"J04 a key twice", kCompletions, R"({"prompt": "x", "max_tokens": 1, "max_tokens": 2})", 400},
      {"J05 invalid UTF-8", kCompletions, "{\"prompt\": \"\xff\"}", 400},
      {"J05 overlong UTF-8", kCompletions, "{\"prompt\": \"\xc0\xaf\"}", 400},
      {"J05 a lone surrogate", kCompletions, R"({"prompt": "\ud800"})", 400},
      {"J06 NaN", kCompletions, Complete("\"temperature\": NaN"), 400},
      {"J06 1e400", kCompletions, Complete("\"temperature\": 1e400"), 400},
      {"J06 400 digits", kCompletions, Complete("\"max_tokens\": " + std::string(400, '9')), 400},
      {"J08 200,000 elements", kCompletions, "{\"prompt\": [" + Repeated("1", 200'000) + "]}", 400},
  };
}

std::vector<BodyRow> FieldRows() {
  return {
      {"A01 empty prompt", kCompletions, R"({"prompt": ""})", 400, "prompt"},
      {"A01 empty list", kCompletions, R"({"prompt": []})", 400, "prompt"},
      {"A01 no prompt", kCompletions, "{}", 400, "prompt"},
      {"A01 empty messages", kChat, R"({"messages": []})", 400, "messages"},
      {"A02 prompt over the window", kCompletions, "{\"prompt\": [" + Repeated("1", 5000) + "]}", 400},
      {"A02 prompt and output over the window", kCompletions, Complete("\"max_tokens\": 4095"), 400},
      {"A04 id -1", kCompletions, R"({"prompt": [-1]})", 400, "prompt[0]"},
      {"A04 id beyond the vocabulary", kCompletions, R"({"prompt": [1, 258]})", 400, "prompt[1]"},
      {"A04 id 2^31", kCompletions, R"({"prompt": [2147483648]})", 400, "prompt[0]"},
      {"A04 id 1.5", kCompletions, R"({"prompt": [1.5]})", 400, "prompt[0]"},
      {"A05 too many prompts", kCompletions, "{\"prompt\": [" + Repeated("\"a\"", 50'000) + "]}", 400, "prompt"},
      {"A06 n 0", kCompletions, Complete("\"n\": 0"), 400, "n"},
      {"A06 n 9", kChat, Chat("\"n\": 9"), 400, "n"},
      {"A06 best_of", kCompletions, Complete("\"best_of\": 1000000"), 400, "best_of"},
      {"A06 prompts times n", kCompletions, "{\"prompt\": [" + Repeated("\"a\"", 20) + "], \"n\": 8}", 400, "n"},
      {"A07 temperature -1", kChat, Chat("\"temperature\": -1"), 400, "temperature"},
      {"A07 temperature 1e9", kChat, Chat("\"temperature\": 1e9"), 400, "temperature"},
      {"A07 top_p 0", kChat, Chat("\"top_p\": 0"), 400, "top_p"},
      {"A07 top_p 1.1", kChat, Chat("\"top_p\": 1.1"), 400, "top_p"},
      {"A07 top_k -2", kChat, Chat("\"top_k\": -2"), 400, "top_k"},
      {"A07 min_p 2", kChat, Chat("\"min_p\": 2"), 400, "min_p"},
      {"A07 frequency_penalty 1e6", kChat, Chat("\"frequency_penalty\": 1e6"), 400, "frequency_penalty"},
      {"A08 max_tokens 0", kCompletions, Complete("\"max_tokens\": 0"), 400, "max_tokens"},
      {"A08 max_tokens -1", kChat, Chat("\"max_tokens\": -1"), 400, "max_tokens"},
      {"A08 max_tokens 2^31", kChat, Chat("\"max_tokens\": 2147483648"), 400, "max_tokens"},
      {"A08 max_tokens 2^64", kChat, Chat("\"max_tokens\": 18446744073709551616"), 400, "max_tokens"},
      {"A09 a thousand stop strings", kChat, Chat("\"stop\": [" + Repeated("\"a\"", 1000) + "]"), 400, "stop"},
      {"A09 an empty stop string", kChat, Chat(R"("stop": "")"), 400, "stop"},
      {"A09 a long stop string", kChat, Chat("\"stop\": \"" + std::string(1 << 20, 'a') + "\""), 400, "stop"},
      {"A10 a bias out of range", kChat, Chat(R"("logit_bias": {"1": 1000})"), 400, "logit_bias[1]"},
      {"A10 a bias on an unknown id", kChat, Chat(R"("logit_bias": {"258": 1})"), 400, "logit_bias"},
      {"A10 a bias on a word", kChat, Chat(R"("logit_bias": {"x": 1})"), 400, "logit_bias"},
      {"A11 logprobs a million", kCompletions, Complete("\"logprobs\": 1000000"), 400, "logprobs"},
      {"A11 top_logprobs 21", kChat, Chat("\"logprobs\": true, \"top_logprobs\": 21"), 400, "top_logprobs"},
      {"A12 seed 2^64", kChat, Chat("\"seed\": 18446744073709551616"), 400, "seed"},
      {"A12 seed -1", kChat, Chat("\"seed\": -1"), 400, "seed"},
      {"A12 seed as text", kChat, Chat(R"("seed": "x")"), 400, "seed"},
      {"A13 an unknown response format", kChat, Chat(R"("response_format": {"type": "xml"})"), 400, "response_format.type"},
      {"A13 a schema", kChat, Chat(R"("response_format": {"type": "json_schema"})"), 400, "response_format.json_schema.schema"},
      {"A15 a grammar that is none", kChat, Chat(R"("structured_outputs": {"regex": "bad"})"), 400, "structured_outputs.regex"},
      {"A15 a grammar that is too long", kChat, Chat("\"guided_regex\": \"" + std::string(300'000, 'a') + "\""), 400, "guided_regex"},
      {"A17 tools", kChat, Chat(R"("tools": [{"type": "function"}])"), 400, "tools"},
      {"A18 an unknown role", kChat, R"({"messages": [{"role": "wizard", "content": "x"}]})", 400, "messages[0].role"},
      {"A18 null content", kChat, R"({"messages": [{"role": "user", "content": null}]})", 400, "messages[0].content"},
      {"A18 too many messages", kChat, "{\"messages\": [" + Repeated(R"({"role": "user", "content": "x"})", 5000) + "]}", 400, "messages"},
      {"A19 an image", kChat, R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]})", 400, "messages[0].content[0]"},
      {"A20 an unknown model", kChat, Chat(R"("model": "other")"), 404},
      {"A20 a path as a model", kChat, Chat(R"("model": "../../etc/passwd")"), 404},
      {"A21 a chat template", kChat, Chat(R"("chat_template": "x")"), 400, "chat_template"},
      {"A21 kwargs with tokenize", kChat, Chat(R"("chat_template_kwargs": {"tokenize": true})"), 400, "chat_template_kwargs"},
      {"A23 stream options without stream", kChat, Chat(R"("stream_options": {"include_usage": true})"), 400, "stream_options"},
      {"A23 stream yes", kChat, Chat(R"("stream": "yes")"), 400, "stream"},
  };
}

std::vector<BodyRow> WireRows() {
  return {
      {"W top_logprobs without logprobs", kChat, Chat("\"top_logprobs\": 2"), 400, "top_logprobs"},
      {"W negative logprobs", kCompletions, Complete("\"logprobs\": -2"), 400, "logprobs"},
      {"W logprobs as text", kCompletions, Complete(R"("logprobs": "many")"), 400, "logprobs"},
      {"W prompt_logprobs with stream", kCompletions, Complete("\"prompt_logprobs\": 1, \"stream\": true"), 400, "prompt_logprobs"},
      {"W tools empty", kChat, Chat("\"tools\": []"), 400, "tools"},
      {"W tool_choice without tools", kChat, Chat(R"("tool_choice": "auto")"), 400, "tool_choice"},
      {"W continue and generate", kChat, Chat("\"continue_final_message\": true, \"add_generation_prompt\": true"), 400, "continue_final_message"},
      {"W suffix", kCompletions, Complete(R"("suffix": "y")"), 400, "suffix"},
      {"W beam search", kCompletions, Complete("\"use_beam_search\": true"), 400, "use_beam_search"},
      {"W a cache salt", kCompletions, Complete(R"("cache_salt": "a")"), 400, "cache_salt"},
      {"W tokenize nothing", "/tokenize", "{}", 400, "prompt"},
      {"W detokenize an unknown id", "/detokenize", R"({"tokens": [999]})", 400, "tokens"},
      {"W tokenize for another model", "/tokenize", R"({"model": "other", "prompt": "x"})", 404},
      {"W no such route", "/v1/other", "{}", 404},
  };
}

class BodyConformance : public Conformance {
 protected:
  void Check(const std::vector<BodyRow>& rows) {
    StartWith({});
    for (const BodyRow& row : rows) {
      SCOPED_TRACE(row.name);
      const RawAnswer answer = Post(ports_.http, row.path, row.body);
      EXPECT_EQ(answer.status, row.status) << answer.body;
      const absl::StatusOr<Json> body = ParseJson(answer.body);
      ASSERT_TRUE(body.ok()) << answer.body;
      const Json& error = body->at("error");
      EXPECT_EQ(error["code"], row.status);
      EXPECT_EQ(error["type"], row.status == 404 ? "NotFoundError" : "BadRequestError");
      EXPECT_EQ(error["param"], row.param == nullptr ? Json() : Json(row.param)) << answer.body;
      EXPECT_FALSE(error["message"].get<std::string>().empty());
    }
    CheckStillServes();
    EXPECT_TRUE(Quiet());
  }
};

TEST_F(BodyConformance, JsonRows) { Check(JsonRows()); }
TEST_F(BodyConformance, FieldRows) { Check(FieldRows()); }
TEST_F(BodyConformance, WireRows) { Check(WireRows()); }

TEST_F(BodyConformance, ContextOverflowNamesBothNumbers) {
  StartWith({});
  const std::string message = Post(ports_.http, kCompletions, "{\"prompt\": [" + Repeated("1", 5000) + "]}").body;
  EXPECT_NE(message.find("4096"), std::string::npos) << message;
  EXPECT_NE(message.find("5000"), std::string::npos) << message;
}

TEST_F(BodyConformance, ValuesAtTheBordersAreServed) {
  StartWith({});
  for (const char* fields : {"\"temperature\": 0", "\"temperature\": -0", "\"top_p\": 1", "\"top_k\": -1", "\"seed\": 18446744073709551615", "\"n\": 8",
                             "\"max_tokens\": null", "\"user\": \"u\"", "\"made_up_field\": {\"a\": [1]}", "\"stop\": null",
                             "\"best_of\": 1", "\"suffix\": \"\"", "\"response_format\": {\"type\": \"text\"}", "\"logit_bias\": {}"})
    EXPECT_EQ(Post(ports_.http, kCompletions, Complete(fields)).status, 200) << fields;
  EXPECT_EQ(Post(ports_.http, kChat, R"({"messages": [{"role": "user", "content": "a\u0000b"}], "max_tokens": 1})").status, 200);
  EXPECT_EQ(Post(ports_.http, kChat, Chat(R"("tool_choice": "none", "max_completion_tokens": 1, "max_tokens": 5)")).status, 200);
  EXPECT_EQ(Post(ports_.http, kCompletions, "{\"prompt\": \"x\"}", "X-Request-Id: " + std::string(10 << 10, 'a').substr(0, 200) + "\r\n").status, 400);
  EXPECT_EQ(Post(ports_.http, kCompletions, "{\"prompt\": \"x\"}", "X-Request-Timeout: 0\r\n").status, 400);
}

}  // namespace
}  // namespace drover::testing
