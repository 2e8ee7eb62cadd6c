// drover.v1.Drover, health and reflection through a real channel.
#include <grpcpp/generic/generic_stub.h>

#include <cmath>

#include "drover/v1/api.grpc.pb.h"
#include "tests/coordinator/served.h"

namespace drover::testing {
namespace {

using namespace std::chrono_literals;

struct Generated {
  std::string text;
  std::vector<v1::GenerateResponse> responses;
  grpc::Status status;
  const v1::GenerateResponse& last() const { return responses.back(); }
};

class GrpcApi : public Served {
 protected:
  void Connect() {
    channel_ = grpc::CreateChannel(Cat("127.0.0.1:", ports_.grpc), grpc::InsecureChannelCredentials());
    stub_ = v1::Drover::NewStub(channel_);
  }
  Generated Generate(const v1::GenerateRequest& request, std::chrono::milliseconds within = 10s) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + within);
    Generated out;
    auto stream = stub_->Generate(&context, request);
    v1::GenerateResponse response;
    while (stream->Read(&response)) {
      out.text += response.text();
      out.responses.push_back(response);
    }
    out.status = stream->Finish();
    return out;
  }
  // One raw call: the answer's bytes, or its status code as text.
  std::string Raw(const std::string& method, const std::string& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    grpc::Slice slice(request);
    grpc::ByteBuffer in(&slice, 1), out;
    grpc::Status status;
    auto call = stub.PrepareCall(&context, method, &queue);
    void* tag = nullptr;
    bool ok = false;
    const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
    call->StartCall(nullptr);
    wait();
    call->Write(in, nullptr);
    wait();
    call->Read(&out, nullptr);
    const bool read = wait();
    std::vector<grpc::Slice> slices;
    if (read) (void)out.Dump(&slices);
    call->WritesDone(nullptr);
    wait();
    if (!read) {
      call->Finish(&status, nullptr);
      wait();
    } else {
      context.TryCancel();
      call->Finish(&status, nullptr);
      wait();
    }
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    std::string bytes;
    for (const grpc::Slice& one : slices) bytes.append(reinterpret_cast<const char*>(one.begin()), one.size());
    return read ? bytes : Cat("code ", static_cast<int>(status.error_code()));
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Drover::Stub> stub_;
};

v1::GenerateRequest Text(const std::string& text) {
  v1::GenerateRequest request;
  request.set_text(text);
  return request;
}

TEST_F(GrpcApi, GeneratesFromTextChatAndIds) {
  StartWith({});
  Connect();
  v1::GenerateRequest ids, chat;
  ids.mutable_token_ids()->add_ids(5);
  v1::ChatMessage& message = *chat.mutable_chat()->add_messages();
  message.set_role("user");
  message.set_content("hi");
  for (const v1::GenerateRequest& request : {Text("x"), ids, chat}) {
    const Generated out = Generate(request);
    ASSERT_TRUE(out.status.ok()) << out.status.error_message();
    EXPECT_EQ(out.text, "hello world");
    EXPECT_EQ(out.last().finish_reason(), v1::FINISH_REASON_STOP);
    EXPECT_EQ(out.last().usage().completion_tokens(), 12);
    EXPECT_NE(out.responses.front().seed(), 0u);
    EXPECT_FALSE(out.responses.front().request_id().empty());
  }
}

TEST_F(GrpcApi, LogitsComeInWholeRowsWhenTheOperatorAllows) {
  settings_.model.allow_logits = true;
  StartWith({});
  Connect();
  v1::GenerateRequest request = Text("x");
  request.set_logits(v1::LOGITS_WANTED_LAST);
  request.set_max_tokens(2);
  const Generated out = Generate(request);
  ASSERT_TRUE(out.status.ok()) << out.status.error_message();
  int frames = 0;
  for (const v1::GenerateResponse& response : out.responses) {
    if (!response.has_logits()) continue;
    ++frames;
    EXPECT_EQ(response.logits().vocab(), kToyVocab);
    EXPECT_EQ(response.logits().values().size(), static_cast<size_t>(kToyVocab) * 4);
  }
  EXPECT_EQ(frames, 2);
}

struct StatusRow {
  const char* name;
  std::function<void(v1::GenerateRequest&)> change;
  grpc::StatusCode code;
};

TEST_F(GrpcApi, RefusalsCarryTheRightCode) {
  StartWith({});
  Connect();
  const StatusRow rows[] = {
      {"no input", [](auto& r) { r.clear_text(); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"empty chat", [](auto& r) { r.mutable_chat(); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"another model", [](auto& r) { r.set_model("x"); }, grpc::StatusCode::NOT_FOUND},
      {"context overflow", [](auto& r) { r.set_text(std::string(5000, 'a')); }, grpc::StatusCode::OUT_OF_RANGE},
      {"temperature NaN", [](auto& r) { r.mutable_sampling()->set_temperature(NAN); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"top_p 0", [](auto& r) { r.mutable_sampling()->set_top_p(0); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"logits", [](auto& r) { r.set_logits(v1::LOGITS_WANTED_ALL); }, grpc::StatusCode::PERMISSION_DENIED},
      {"an unknown logits value", [](auto& r) { r.set_logits(static_cast<v1::LogitsWanted>(9)); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"too many stops", [](auto& r) { for (int i = 0; i < 17; ++i) r.add_stop("a"); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"logprobs 21", [](auto& r) { r.set_logprobs(21); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"an id out of range", [](auto& r) { r.mutable_token_ids()->add_ids(-1); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"broken tools", [](auto& r) { r.mutable_chat()->add_messages()->set_role("user"); r.mutable_chat()->set_tools_json("{"); }, grpc::StatusCode::INVALID_ARGUMENT},
      {"a message of 5 MiB", [](auto& r) { r.set_text(std::string(5 << 20, 'a')); }, grpc::StatusCode::RESOURCE_EXHAUSTED},
  };
  for (const StatusRow& row : rows) {
    v1::GenerateRequest request = Text("x");
    row.change(request);
    const Generated out = Generate(request);
    EXPECT_EQ(out.status.error_code(), row.code) << row.name << ": " << out.status.error_message();
    EXPECT_TRUE(out.responses.empty()) << row.name;
  }
  EXPECT_TRUE(Generate(Text("x")).status.ok());
  EXPECT_TRUE(Quiet());
}

TEST_F(GrpcApi, DeadlineAndCancelReachTheRank) {
  StartWith({.endless = true});
  Connect();
  v1::GenerateRequest request = Text("x");
  EXPECT_EQ(Generate(request, 300ms).status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually([this] { return ranks_[0]->cancels() == 1; }));
  EXPECT_TRUE(Quiet());
}

TEST_F(GrpcApi, ADeadGroupIsUnavailable) {
  StartWith({.endless = true, .tick_ms = 5});
  Connect();
  std::thread killer([this] {
    Eventually([this] { return ranks_[0]->submits() == 1; });
    std::this_thread::sleep_for(50ms);
    ranks_[0]->Kill();
  });
  EXPECT_EQ(Generate(Text("x")).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  killer.join();
}

TEST_F(GrpcApi, SmallCalls) {
  StartWith({});
  Connect();
  grpc::ClientContext a, b, c, d;
  v1::TokenizeRequest tokenize;
  tokenize.set_text("ab");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(stub_->Tokenize(&a, tokenize, &tokens).ok());
  EXPECT_EQ(tokens.ids_size(), 3);
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_ids() = tokens.ids();
  detokenize.set_skip_special_tokens(true);
  v1::DetokenizeResponse text;
  ASSERT_TRUE(stub_->Detokenize(&b, detokenize, &text).ok());
  EXPECT_EQ(text.text(), "ab");
  v1::ListModelsResponse models;
  ASSERT_TRUE(stub_->ListModels(&c, {}, &models).ok());
  EXPECT_EQ(models.models(0).id(), "toy");
  EXPECT_TRUE(models.models(0).ready());
  EXPECT_TRUE(models.models(0).has_default_sampling());
  EXPECT_FALSE(models.models(0).default_sampling().has_temperature());
  v1::GetClusterResponse cluster;
  ASSERT_TRUE(stub_->GetCluster(&d, {}, &cluster).ok());
  EXPECT_TRUE(cluster.ready());
  EXPECT_EQ(cluster.groups(0).state(), "ready");
  EXPECT_EQ(cluster.groups(0).ranks(0).host(), "testhost");
  EXPECT_NE(cluster.groups(0).plan_json().find("kvBlocks"), std::string::npos);
}

// Answers of grpc.health.v1.Health/Check: field 1 is the status, 1 SERVING, 2 NOT_SERVING.
TEST_F(GrpcApi, HealthTellsTheOneTruthForBothNames) {
  const std::string whole, service = "\x0a\x10" "drover.v1.Drover", unknown = "\x0a\x01x";
  const std::string check = "/grpc.health.v1.Health/Check";
  Start();
  Connect();
  EXPECT_EQ(Raw(check, whole), "\x08\x02");
  Join({});
  EXPECT_TRUE(Eventually([&] { return Raw(check, whole) == "\x08\x01" && Raw(check, service) == "\x08\x01"; }));
  EXPECT_EQ(Raw(check, unknown), Cat("code ", static_cast<int>(grpc::StatusCode::NOT_FOUND)));
  server_->coordinator().StartDrain();
  EXPECT_TRUE(Eventually([&] { return Raw(check, whole) == "\x08\x02" && Raw(check, service) == "\x08\x02"; }));
}

TEST_F(GrpcApi, ReflectionListsOurServiceAndUnknownMethodsAreUnimplemented) {
  StartWith({});
  Connect();
  EXPECT_NE(Raw("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*").find("drover.v1.Drover"), std::string::npos);
  EXPECT_EQ(Raw("/drover.v1.Drover/Nothing", ""), Cat("code ", static_cast<int>(grpc::StatusCode::UNIMPLEMENTED)));
}

TEST_F(GrpcApi, RanksThatSpeakOutOfTurnAreSentAway) {
  StartWith({});
  Join({.launch = "other"});
  EXPECT_TRUE(Eventually([this] { return ranks_[1]->ended_with().find("served by launch l1") != std::string::npos; }));
  Join({.rank = 5, .ranks = 2});
  EXPECT_TRUE(Eventually([this] { return ranks_[2]->ended_with().find("hello.rank") != std::string::npos; }));
  EXPECT_TRUE(server_->coordinator().view()->ready);
}

// Any bytes: they pass as they are.
TEST_F(GrpcApi, EveryRankHearsWhatItsLeaderMeetsBy) {
  const std::string meeting("an\0id\xff", 6);
  Start();
  Join({.rank = 1, .ranks = 2});
  Join({.rank = 0, .ranks = 2, .meeting = meeting});
  for (const auto& rank : ranks_) {
    EXPECT_TRUE(Eventually([&rank] { return rank->assignments() == 1; }));
    EXPECT_EQ(rank->meeting(), meeting);
  }
}

// A second coordinator takes over ranks that say what they have loaded; its epoch is its own.
TEST_F(GrpcApi, AGroupServesAgainAfterTheCoordinatorWasReplaced) {
  StartWith({});
  ranks_.clear();
  server_->Stop();
  server_ = nullptr;
  settings_.first_epoch = Epoch{50};
  StartWith({.loaded_fingerprint = "toy-1"});
  Connect();
  EXPECT_EQ(ranks_[0]->epoch(), 50u);
  EXPECT_EQ(Generate(Text("x")).text, "hello world");
}

}  // namespace
}  // namespace drover::testing
