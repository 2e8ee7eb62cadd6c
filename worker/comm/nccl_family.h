// NcclFamily: a rank's NCCL communicators that live and die together: that of the whole group and what was split off. It polls what
// NCCL does without blocking, guards the waits for the device, and is the only place that ends a communicator. NCCL ends none, not even
// by an abort, before all graphs that hold its calls are gone: so the device forgets its recordings first.
#pragma once

#include <nccl.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <string>

#include "kernels/cuda/device.h"
#include "worker/comm/peer_group.h"
#include "worker/watchdog.h"

namespace drover {

struct NcclSettings {
  int64_t rank = 0, ranks = 1;
  // Where peers write, and for how many floats of a sum at most; kMeasured: as far as it is faster. Null: NCCL makes all sums.
  static constexpr int64_t kMeasured = -1;
  PeerRooms* rooms = nullptr;
  int64_t peer_floats = kMeasured;
  bool record = true;  // whether steps with its calls may be recorded; the same on every rank
  // How long the end of a communicator may take. Beyond it NCCL is wedged, and `wedged` is called, on another thread: the process
  // has to leave then.
  std::chrono::milliseconds end_limit{10'000};
  std::function<void(const std::string& what)> wedged = [](const std::string&) {};
};

// All calls but Abort come from the one thread that uses the device.
class NcclFamily : public WaitGuard {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  NcclFamily(CudaDevice& device, const NcclSettings& settings);
  ~NcclFamily() override;
  NcclFamily(const NcclFamily&) = delete;
  NcclFamily& operator=(const NcclFamily&) = delete;

  CudaDevice& device() { return device_; }
  const NcclSettings& settings() const { return settings_; }
  void SetDeadline(TimePoint deadline) { deadline_ = deadline; }
  void Abort() { asked_to_abort_ = true; }

  struct Member {
    ncclComm_t comm = nullptr;  // null again when it has ended
    bool made = false;          // until then NCCL may write to `comm` from a thread of its own
    std::unique_ptr<PeerGroup> peers;  // for small sums; null: NCCL makes all
  };
  // A place for a communicator that is to be made.
  Member* Add() { return &members_.emplace_back(); }
  // Ends the communicator, in order if that can be done. Its place is gone.
  void Remove(Member* member);

  // Before `call` is made: whether it may be.
  absl::Status Begin(const char* call);
  // After it: polls until NCCL has done with it. `comm` is what it was called on.
  absl::Status Settle(ncclResult_t result, ncclComm_t comm);
  // The same for a call that queues work for the device.
  absl::Status Queue(ncclResult_t result, ncclComm_t comm);
  // Before work is queued that waits for other ranks without NCCL.
  void Meets() { queued_ = true; }

  absl::Status WhileWaiting() override;
  absl::Status WhenIdle() override;
  void WhenReplayed() override;

 private:
  // The first failure, which ends all members; it stays.
  absl::Status Fail(const absl::Status& why);
  absl::Status Alive();
  absl::Status InTime();
  std::string Where() const;
  absl::Status Error(ncclResult_t result) const;
  // Lets the communicator finish what it does; false when it does not in time.
  bool Finalize(ncclComm_t comm);
  void AbortAll();
  void AbortMember(Member& member);
  void LetBeDone();
  void EndPeers(Member& member);

  CudaDevice& device_;
  const NcclSettings settings_;
  std::list<Member> members_;
  TimePoint deadline_ = TimePoint::max();
  std::atomic<bool> asked_to_abort_ = false;
  bool queued_ = false;          // work that other ranks take part in, since the device was last idle
  const char* call_ = "joining";  // the last one
  absl::Status failed_;
  Watchdog wedged_;
};

}  // namespace drover
