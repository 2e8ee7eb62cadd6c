// See fake_rank.h.
#include "tests/coordinator/fake_rank.h"

#include <algorithm>

#include "common/request.h"
#include "common/status.h"

namespace drover::testing {
namespace {
constexpr int32_t kEnd = 256;
}

FakeRank::FakeRank(int cluster_port, FakeRankScript script) : script_(std::move(script)) {
  stub_ = v1::Cluster::NewStub(grpc::CreateChannel(Cat("127.0.0.1:", cluster_port), grpc::InsecureChannelCredentials()));
  stream_ = stub_->Join(&context_);
  v1::WorkerMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_group(script_.group);
  hello.set_launch(script_.launch);
  hello.set_rank(script_.rank);
  hello.set_ranks(script_.ranks);
  hello.set_host("testhost");
  hello.set_steps_address("127.0.0.1:1");
  hello.set_loaded_fingerprint(script_.loaded_fingerprint);
  hello.set_meeting(script_.meeting);
  Say(message);
  reader_ = std::thread([this] { Read(); });
  generator_ = std::thread([this] { Generate(); });
}

FakeRank::~FakeRank() {
  Kill();
  reader_.join();
  generator_.join();
}

void FakeRank::Kill() {
  stop_ = true;
  context_.TryCancel();
}

std::string FakeRank::ended_with() {
  MutexLock lock(mutex_);
  return ended_;
}

std::string FakeRank::meeting() {
  MutexLock lock(mutex_);
  return meeting_;
}

void FakeRank::Say(const v1::WorkerMessage& message) {
  v1::WorkerMessage out = message;
  out.set_epoch(epoch_);
  MutexLock lock(write_mutex_);
  stream_->Write(out);
}

void FakeRank::Read() {
  v1::CoordinatorMessage order;
  while (stream_->Read(&order)) Obey(order);
  const grpc::Status status = stream_->Finish();
  stop_ = true;
  MutexLock lock(mutex_);
  ended_ = Cat(static_cast<int>(status.error_code()), " ", status.error_message());
}

void FakeRank::Obey(const v1::CoordinatorMessage& order) {
  if (order.has_assignment()) {
    epoch_ = order.epoch();
    {
      MutexLock lock(mutex_);
      meeting_ = order.assignment().meeting();
    }
    ++assignments_;
    v1::WorkerMessage loaded, ready;
    loaded.mutable_loaded()->set_weight_bytes(100);
    ready.mutable_ready()->set_warm_step_ms(1);
    Say(loaded);
    if (script_.rank == 0) Say(ready);
  } else if (order.has_submit()) {
    ++submits_;
    MutexLock lock(mutex_);
    if (!script_.silent_tokens) work_[order.submit().request_id()] = {order.submit()};
  } else if (order.has_cancel()) {
    ++cancels_;
    MutexLock lock(mutex_);
    work_.erase(order.cancel().request_id());
  }
}

v1::TokenNews FakeRank::Next(Work& work) const {
  v1::TokenNews news;
  const v1::Submit& submit = work.submit;
  news.set_request_id(submit.request_id());
  news.set_position(work.position);
  const std::string reply = submit.has_grammar() ? Cat(submit.grammar().kind(), " ", submit.grammar().text()) : script_.reply;
  const auto length = static_cast<int64_t>(reply.size());
  const bool end = !script_.endless && work.position >= length && submit.end_ids_size() > 0;
  if (submit.max_tokens() > 0) {
    const int32_t token = end ? kEnd : static_cast<unsigned char>(reply[static_cast<size_t>(work.position % length)]);
    news.set_token(token);
    if (submit.logprobs() >= 0) news.set_logprob(-0.5F);
    for (int i = 0; i < submit.logprobs(); ++i) {
      news.add_top_ids(i == 0 ? token : 'A' + i);
      news.add_top_logprobs(-0.5F - static_cast<float>(i));
    }
  }
  if (work.position == 0 && submit.prompt_logprobs())
    for (int i = 1; i < submit.prompt_size(); ++i) news.add_prompt_logprobs(-1.0F * static_cast<float>(i));
  ++work.position;
  if (submit.logits() != 0) {
    const float row[258] = {1, 2, 3};
    news.set_logits(std::string(reinterpret_cast<const char*>(row), sizeof(row)));
  }
  const bool full = work.position >= submit.max_tokens();
  const bool stops = news.has_token() && std::find(submit.end_ids().begin(), submit.end_ids().end(), news.token()) != submit.end_ids().end();
  if (stops) {
    news.set_finish(static_cast<int>(FinishReason::kStop));
  } else if (full) {
    news.set_finish(static_cast<int>(FinishReason::kLength));
  }
  return news;
}

void FakeRank::Generate() {
  auto next_beat = std::chrono::steady_clock::now();
  while (!stop_) {
    v1::WorkerMessage message;
    int64_t running = 0;
    {
      MutexLock lock(mutex_);
      for (auto& [id, work] : work_) *message.mutable_tokens()->add_news() = Next(work);
      for (const v1::TokenNews& news : message.tokens().news())
        if (news.finish() != 0) work_.erase(news.request_id());
      running = static_cast<int64_t>(work_.size());
    }
    if (message.has_tokens()) Say(message);
    if (std::chrono::steady_clock::now() >= next_beat) {
      v1::WorkerMessage beat;
      beat.mutable_heartbeat()->set_running(running);
      beat.mutable_heartbeat()->set_steps_done(static_cast<uint64_t>(next_beat.time_since_epoch().count()));
      Say(beat);
      next_beat += std::chrono::seconds(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(script_.tick_ms));
  }
}

}  // namespace drover::testing
