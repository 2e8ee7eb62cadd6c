// A whole coordinator on ports of its own with a toy model, for tests that come in through its sockets.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "coordinator/server.h"
#include "tests/coordinator/fake_rank.h"
#include "tests/coordinator/raw_http.h"
#include "tests/coordinator/toy_text.h"

namespace drover::testing {

// Polls until `done`; false after `within`.
inline bool Eventually(const std::function<bool()>& done, std::chrono::milliseconds within = std::chrono::seconds(10)) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class Served : public ::testing::Test {
 protected:
  void Start() {
    listen_.http = listen_.grpc = listen_.cluster = "127.0.0.1:0";
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(listen_, settings_, text_, ToyPlan);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ports_ = server_->ports();
  }
  void Join(FakeRankScript script) {
    ranks_.push_back(std::make_unique<FakeRank>(ports_.cluster, std::move(script)));
  }
  void StartWith(FakeRankScript script) {
    Start();
    Join(std::move(script));
    ASSERT_TRUE(Eventually([this] { return server_->coordinator().view()->ready; }));
  }
  void TearDown() override {
    ranks_.clear();
    if (server_ != nullptr) server_->Stop();
  }
  // Nothing is left in flight: every request reached its end.
  bool Quiet() {
    return Eventually([this] {
      const auto view = server_->coordinator().view();
      return view->in_flight == 0 && view->waiting == 0;
    });
  }

  ToyText text_;
  ListenConfig listen_;
  CoordinatorSettings settings_{.model = ToyModel()};
  std::unique_ptr<Server> server_;
  Ports ports_;
  std::vector<std::unique_ptr<FakeRank>> ranks_;
};

}  // namespace drover::testing
