// The OpenAI-style routes through real sockets: bodies, event streams, what happens when clients or groups go away.
#include "tests/coordinator/served.h"

#include "common/json.h"

namespace drover::testing {
namespace {

Json Parsed(const std::string& text) {
  absl::StatusOr<Json> json = ParseJson(text);
  return json.ok() ? *json : Json();
}

// The JSON of every event of a stream, "[DONE]" as a string.
std::vector<Json> Events(const std::string& body) {
  std::vector<Json> events;
  size_t at = 0;
  while (at < body.size()) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event without its blank line: " << body.substr(at);
    if (end == std::string::npos) break;
    const std::string line = body.substr(at, end - at);
    if (line.rfind("data: ", 0) == 0) events.push_back(line == "data: [DONE]" ? Json("[DONE]") : Parsed(line.substr(6)));
    at = end + 2;
  }
  return events;
}

using HttpApi = Served;

TEST_F(HttpApi, CompletesTokenIds) {
  StartWith({});
  const RawAnswer answer = Post(ports_.http, "/v1/completions", R"({"model": "toy", "prompt": [1, 2, 3], "max_tokens": 50})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json body = Parsed(answer.body);
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["choices"][0]["text"], "hello world");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["choices"][0]["stop_reason"], nullptr);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(body["usage"]["completion_tokens"], 12);
  EXPECT_EQ(body["usage"]["total_tokens"], 15);
  EXPECT_EQ(body["id"].get<std::string>().rfind("cmpl-", 0), 0u);
}

TEST_F(HttpApi, CompletionsStopAtSixteenTokensByDefault) {
  StartWith({.endless = true});
  const Json body = Parsed(Post(ports_.http, "/v1/completions", R"({"prompt": "x"})").body);
  EXPECT_EQ(body["usage"]["completion_tokens"], 16);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
}

TEST_F(HttpApi, ChatAnswersWithAMessage) {
  StartWith({});
  const RawAnswer answer = Post(ports_.http, "/v1/chat/completions", R"({"messages": [{"role": "user", "content": "hi"}]})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json body = Parsed(answer.body);
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_EQ(body["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(body["choices"][0]["message"]["content"], "hello world");
  EXPECT_FALSE(body["choices"][0]["message"].contains("tool_calls"));
}

TEST_F(HttpApi, AGrammarReachesTheRanks) {
  StartWith({});
  for (const char* prompt : {R"("x")", "[1, 2]"}) {
    const Json body = Parsed(Post(ports_.http, "/v1/completions", Cat(R"({"max_tokens": 50, "guided_regex": "a+", "prompt": )", prompt, "}")).body);
    EXPECT_EQ(body["choices"][0]["text"], "1 a+");
  }
}

TEST_F(HttpApi, ChatStreamsRoleThenTextThenFinishThenUsageThenDone) {
  StartWith({.reply = "h\xC3\xA9llo"});
  const RawAnswer answer = Post(ports_.http, "/v1/chat/completions",
                                R"({"messages": [{"role": "user", "content": "hi"}], "stream": true, "stream_options": {"include_usage": true}})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.headers.at("content-type").rfind("text/event-stream", 0), 0u);
  const std::vector<Json> events = Events(answer.body);
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  int roles = 0, finishes = 0;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const Json& choice = events[i]["choices"][0];
    EXPECT_EQ(events[i]["object"], "chat.completion.chunk");
    EXPECT_EQ(events[i]["id"], events[0]["id"]);
    roles += choice["delta"].contains("role");
    finishes += choice["finish_reason"] == "stop";
    if (choice["delta"].contains("content")) text += choice["delta"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, "h\xC3\xA9llo");
  EXPECT_EQ(roles, 1);
  EXPECT_EQ(finishes, 1);
  EXPECT_EQ(events[events.size() - 2]["choices"], Json::array());
  EXPECT_EQ(events[events.size() - 2]["usage"]["completion_tokens"], 7);
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(HttpApi, StopStringsEndTheAnswerAndOvershootIsNotCounted) {
  StartWith({.endless = true});
  const Json body = Parsed(Post(ports_.http, "/v1/completions", R"({"prompt": "x", "max_tokens": 100, "stop": ["wor"]})").body);
  EXPECT_EQ(body["choices"][0]["text"], "hello ");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["choices"][0]["stop_reason"], "wor");
  EXPECT_EQ(body["usage"]["completion_tokens"], 9);
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }));
  EXPECT_TRUE(Quiet());
}

TEST_F(HttpApi, LogprobsOfCompletionsAndChat) {
  StartWith({});
  const Json completion = Parsed(Post(ports_.http, "/v1/completions", R"({"prompt": "x", "max_tokens": 2, "logprobs": 2})").body);
  const Json& logprobs = completion["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::parse(R"(["h", "e"])"));
  EXPECT_EQ(logprobs["token_logprobs"], Json::parse("[-0.5, -0.5]"));
  EXPECT_EQ(logprobs["text_offset"], Json::parse("[0, 1]"));
  EXPECT_EQ(logprobs["top_logprobs"][0], Json::parse(R"({"h": -0.5, "B": -1.5})"));
  const Json chat = Parsed(Post(ports_.http, "/v1/chat/completions",
                                R"({"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "logprobs": true, "top_logprobs": 1})").body);
  const Json& entry = chat["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(entry["token"], "h");
  EXPECT_EQ(entry["bytes"], Json::parse("[104]"));
  EXPECT_EQ(entry["top_logprobs"][0]["logprob"], -0.5);
}

TEST_F(HttpApi, TextOffsetsCountCharacters) {
  StartWith({.reply = "\xC3\xA9!"});
  const Json body = Parsed(Post(ports_.http, "/v1/completions", R"({"prompt": "x", "max_tokens": 3, "logprobs": 0})").body);
  EXPECT_EQ(body["choices"][0]["logprobs"]["text_offset"], Json::parse("[0, 1, 1]"));
}

TEST_F(HttpApi, EchoScoresThePrompt) {
  StartWith({});
  const RawAnswer answer = Post(ports_.http, "/v1/completions", R"({"prompt": [97, 98, 99], "max_tokens": 0, "echo": true, "logprobs": 0})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json choice = Parsed(answer.body)["choices"][0];
  EXPECT_EQ(choice["text"], "abc");
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], Json::parse("[null, -1.0, -2.0]"));
}

TEST_F(HttpApi, SeveralPromptsAndAnswersAreIndexedInOrder) {
  StartWith({});
  const Json body = Parsed(Post(ports_.http, "/v1/completions", R"({"prompt": ["a", "bc"], "n": 2, "max_tokens": 3})").body);
  ASSERT_EQ(body["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(body["choices"][static_cast<size_t>(i)]["index"], i);
  EXPECT_EQ(body["usage"]["prompt_tokens"], 5);  // "<s>a" and "<s>bc", once each
  EXPECT_EQ(body["usage"]["completion_tokens"], 12);
}

TEST_F(HttpApi, TokenizeAndDetokenizeAreInverse) {
  StartWith({});
  const Json tokens = Parsed(Post(ports_.http, "/tokenize", R"({"prompt": "ab", "return_token_strs": true})").body);
  EXPECT_EQ(tokens["tokens"], Json::parse("[257, 97, 98]"));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["token_strs"], Json::parse(R"(["<s>", "a", "b"])"));
  EXPECT_EQ(Parsed(Post(ports_.http, "/detokenize", R"({"tokens": [257, 97, 98]})").body)["prompt"], "<s>ab");
}

TEST_F(HttpApi, HealthFollowsReadiness) {
  Start();
  EXPECT_EQ(Get(ports_.http, "/health").headers.at("retry-after"), "1");
  EXPECT_EQ(Get(ports_.http, "/health").status, 503);
  EXPECT_EQ(Get(ports_.http, "/ping").status, 200);  // alive: whoever restarts it on this must leave it alone while it waits
  EXPECT_EQ(Post(ports_.http, "/v1/completions", R"({"prompt": "x"})").status, 503);
  Join({.rank = 0, .ranks = 2});
  EXPECT_EQ(Get(ports_.http, "/health").status, 503);
  Join({.rank = 1, .ranks = 2});
  EXPECT_TRUE(Eventually([this] { return Get(ports_.http, "/health").status == 200; }));
  ranks_[1]->Kill();
  EXPECT_TRUE(Eventually([this] { return Get(ports_.http, "/health").status == 503; }));
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->ended_with().find("rank 1 on testhost left") != std::string::npos; }));
}

TEST_F(HttpApi, ADeadGroupEndsTheStreamWithAnErrorAndDone) {
  StartWith({.endless = true});
  RawClient client(ports_.http);
  client.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 4000, "stream": true})"));
  client.ReadUntil("\"text\":\"w\"");
  ranks_[0]->Kill();
  const std::string rest = client.ReadUntil("[DONE]\n\n");
  EXPECT_NE(rest.find("\"error\""), std::string::npos) << rest;
  EXPECT_NE(rest.find("\"code\":503"), std::string::npos) << rest;
  EXPECT_TRUE(Quiet());
}

TEST_F(HttpApi, AClientThatLeavesIsCancelledOnTheRank) {
  StartWith({.endless = true});
  {
    RawClient client(ports_.http);
    client.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 4000, "stream": true})"));
    client.ReadUntil("\"text\":\"w\"");
  }
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }));
  EXPECT_TRUE(Quiet());
}

TEST_F(HttpApi, AClientThatLeavesBeforeTheFirstTokenIsCancelledToo) {
  StartWith({.silent_tokens = true});
  {
    RawClient client(ports_.http);
    client.Send(PostText("/v1/completions", R"({"prompt": "x"})"));
    EXPECT_TRUE(Eventually([this] { return ranks_[0]->submits() == 1; }));
  }
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }));
  EXPECT_TRUE(Quiet());
}

TEST_F(HttpApi, AClientThatDoesNotReadIsCutOff) {
  settings_.model.max_model_len = 1 << 20;
  listen_.http_limits.unread_bytes = 16 << 10;
  StartWith({.reply = std::string(200, 'x'), .endless = true, .tick_ms = 0});
  RawClient client(ports_.http, 4096);
  client.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 1000000, "stream": true, "logprobs": 20})"));
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }, std::chrono::seconds(30)));
  EXPECT_TRUE(Quiet());
}

TEST_F(HttpApi, OneLargeEventIsNoSlowClient) {
  listen_.http_limits.unread_bytes = 4 << 10;
  StartWith({});
  const std::string prompt = Json(std::vector<int32_t>(1000, 'a')).dump();
  const RawAnswer answer = Post(ports_.http, "/v1/completions",
                                R"({"max_tokens": 2, "echo": true, "logprobs": 0, "stream": true, "prompt": )" + prompt + "}");
  ASSERT_EQ(answer.status, 200);
  ASSERT_FALSE(answer.body.empty());
  EXPECT_EQ(Events(answer.body).back(), "[DONE]");
}

TEST_F(HttpApi, AFullQueueIsRefusedAtOnce) {
  settings_.dispatch.waiting_max = 2;
  settings_.dispatch.lookahead = 0;
  StartWith({.silent_tokens = true});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 10; ++i) {  // eight run, two wait
    clients.push_back(std::make_unique<RawClient>(ports_.http));
    clients.back()->Send(PostText("/v1/completions", R"({"prompt": "x"})"));
  }
  ASSERT_TRUE(Eventually([this] { return server_->coordinator().view()->waiting == 2; }));
  const RawAnswer refused = Post(ports_.http, "/v1/completions", R"({"prompt": "x"})");
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.headers.contains("retry-after"));
}

TEST_F(HttpApi, ARequestPastItsDeadlineEndsWith504) {
  StartWith({.silent_tokens = true});
  EXPECT_EQ(Post(ports_.http, "/v1/completions", R"({"prompt": "x"})", "X-Request-Timeout: 0.2\r\n").status, 504);
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }));
}

TEST_F(HttpApi, ADrainingServerRefusesNewAndFinishesOld) {
  StartWith({.tick_ms = 20});
  RawClient client(ports_.http);
  client.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 20})"));
  ASSERT_TRUE(Eventually([this] { return ranks_[0]->submits() == 1; }));
  server_->coordinator().StartDrain();
  EXPECT_TRUE(Eventually([this] { return Get(ports_.http, "/health").status == 503; }));
  EXPECT_EQ(Post(ports_.http, "/v1/completions", R"({"prompt": "x"})").status, 503);
  EXPECT_EQ(client.Read().status, 200);
}

TEST_F(HttpApi, ADrainCountsWhatWasAdmittedJustBefore) {
  StartWith({.silent_tokens = true});
  RawClient client(ports_.http);
  client.Send(PostText("/v1/completions", R"({"prompt": "x"})"));
  while (ranks_[0]->submits() == 0) std::this_thread::yield();  // the view is older than that
  server_->coordinator().StartDrain();
  EXPECT_EQ(server_->coordinator().view()->in_flight, 1);  // or the process would leave at once
}

TEST_F(HttpApi, AStoppingServerTellsItsClients) {
  StartWith({.endless = true, .tick_ms = 5});
  RawClient stream(ports_.http), whole(ports_.http);
  stream.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 4000, "stream": true})"));
  whole.Send(PostText("/v1/completions", R"({"prompt": "x", "max_tokens": 4000})"));
  ASSERT_TRUE(Eventually([this] { return ranks_[0]->submits() == 2; }));
  stream.ReadUntil("data: ");
  server_->Stop();
  const std::string rest = stream.ReadUntil("[DONE]\n\n");
  EXPECT_NE(rest.find("shutting down"), std::string::npos) << rest;
  EXPECT_EQ(whole.Read().status, 503);
}

TEST_F(HttpApi, AStoppingServerWritesWhatWasAnswered) {
  StartWith({});
  const std::string prompt = Json(std::vector<int32_t>(4000, 'a')).dump();
  std::string prompts = prompt;
  for (int i = 1; i < 20; ++i) prompts += "," + prompt;
  RawClient client(ports_.http);
  client.Send(PostText("/v1/completions", R"({"max_tokens": 1, "echo": true, "logprobs": 0, "prompt": [)" + prompts + "]}"));
  const std::string counted = R"(handler="/v1/completions",method="POST",model_name="toy",status="2xx"} 1)";
  ASSERT_TRUE(Eventually([&] { return Get(ports_.http, "/metrics").body.find(counted) != std::string::npos; }));
  std::thread stop([this] { server_->Stop(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the answer is more than the kernel takes meanwhile
  const RawAnswer answer = client.Read();
  stop.join();
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(Cat(answer.body.size()), answer.headers.at("content-length"));
}

TEST_F(HttpApi, MetricsNameTheModelAndCountTokens) {
  StartWith({});
  Post(ports_.http, "/v1/completions", R"({"prompt": [1, 2], "max_tokens": 5})");
  const std::string text = Get(ports_.http, "/metrics").body;
  for (const char* line : {"vllm:generation_tokens_total{engine=\"0\",model_name=\"toy\"} 5", "vllm:num_requests_waiting{",
                           "vllm:prompt_tokens_total{engine=\"0\",model_name=\"toy\"} 2", "vllm:kv_cache_usage_perc{",
                           "finished_reason=\"length\"", "drover_groups_ready{", "http_requests_total{"})
    EXPECT_NE(text.find(line), std::string::npos) << line << " is missing in\n" << text;
}

TEST_F(HttpApi, MetricsShowTheGapsThatALeaderCounts) {
  StartWith({});
  HostGaps gaps;
  gaps.Add(60e-6);
  v1::WorkerMessage message;
  message.mutable_heartbeat()->mutable_gap_counts()->Add(gaps.counts.begin(), gaps.counts.end());
  message.mutable_heartbeat()->set_gap_seconds(gaps.seconds);
  ranks_[0]->Say(message);
  const auto shows = [this](const char* line) { return Get(ports_.http, "/metrics").body.find(line) != std::string::npos; };
  EXPECT_TRUE(Eventually([&] { return shows("drover_host_gap_seconds_bucket{engine=\"0\",model_name=\"toy\",le=\"0.0001\"} 1"); }));
  message.mutable_heartbeat()->mutable_gap_counts()->Add(1);
  ranks_[0]->Say(message);
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->ended_with().find("heartbeat.gap_counts: found 14, expected 13") != std::string::npos; }))
      << ranks_[0]->ended_with();
}

TEST_F(HttpApi, ModelsTellTheirDefaultSampling) {
  settings_.model.defaults = {.temperature = 0.5, .top_k = 40};
  settings_.model.default_max_tokens = 9;
  StartWith({});
  EXPECT_EQ(Parsed(Get(ports_.http, "/v1/models").body)["data"][0]["default_sampling"],
            Json({{"temperature", 0.5}, {"top_k", 40}, {"max_tokens", 9}}));
}

TEST_F(HttpApi, SmallRoutes) {
  StartWith({});
  EXPECT_EQ(Parsed(Get(ports_.http, "/v1/models").body)["data"][0]["id"], "toy");
  EXPECT_EQ(Parsed(Get(ports_.http, "/v1/models/toy").body)["max_model_len"], 4096);
  EXPECT_TRUE(Parsed(Get(ports_.http, "/version").body).contains("version"));
  EXPECT_EQ(Get(ports_.http, "/ping").status, 200);
  EXPECT_EQ(Parsed(Get(ports_.http, "/load").body)["server_load"], 0);
}

TEST_F(HttpApi, RequestIdsAreEchoed) {
  StartWith({});
  EXPECT_EQ(Post(ports_.http, "/v1/completions", R"({"prompt": "x"})", "X-Request-Id: abc-1\r\n").headers.at("x-request-id"), "abc-1");
}

}  // namespace
}  // namespace drover::testing
