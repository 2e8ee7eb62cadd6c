// A rank that speaks drover.v1.Cluster and answers every request with a scripted text, one token a tick; a request with a grammar with
// the grammar's kind and text.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "common/mutex.h"
#include "drover/v1/cluster.grpc.pb.h"

namespace drover::testing {

struct FakeRankScript {
  std::string group = "g", launch = "l1";
  int rank = 0, ranks = 1;
  std::string reply = "hello world";   // then the end id; endless repeats it instead
  bool endless = false;
  int tick_ms = 1;
  std::string loaded_fingerprint, meeting;
  bool silent_tokens = false;          // takes requests and says nothing
};

class FakeRank {
 public:
  FakeRank(int cluster_port, FakeRankScript script);
  ~FakeRank();

  // Breaks the stream as a dead process would.
  void Kill();
  int submits() const { return submits_; }
  int cancels() const { return cancels_; }
  int assignments() const { return assignments_; }
  uint64_t epoch() const { return epoch_; }
  // What the coordinator ended the stream with; empty while it runs.
  std::string ended_with();
  // Of the last assignment.
  std::string meeting();
  void Say(const v1::WorkerMessage& message);

 private:
  struct Work {
    v1::Submit submit;
    int64_t position = 0;
  };
  void Read();
  void Generate();
  void Obey(const v1::CoordinatorMessage& order);
  v1::TokenNews Next(Work& work) const;

  const FakeRankScript script_;
  std::unique_ptr<v1::Cluster::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::WorkerMessage, v1::CoordinatorMessage>> stream_;
  Mutex write_mutex_, mutex_;
  std::map<uint64_t, Work> work_ ABSL_GUARDED_BY(mutex_);
  std::string ended_ ABSL_GUARDED_BY(mutex_), meeting_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int> submits_{0}, cancels_{0}, assignments_{0};
  std::atomic<uint64_t> epoch_{0};
  std::atomic<bool> stop_{false};
  std::thread reader_, generator_;
};

}  // namespace drover::testing
