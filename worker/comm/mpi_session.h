// MpiSession: MPI's lifetime as an object, created first in main and destroyed last. MPI is entered by one thread only (FUNNELED).
#pragma once

#include <atomic>
#include <memory>

#include "common/status.h"
#include "worker/comm/communicator.h"

namespace drover {

class MpiSession {
 public:
  // Initialises MPI; the calling thread is the only one that may use the session and its communicators.
  static absl::StatusOr<std::unique_ptr<MpiSession>> Start(int* argc, char*** argv);
  // Finalises MPI, unless the group died: finalising with a dead peer hangs, and the process must leave by _exit.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }

  // A communicator over all ranks. At most one at a time; it ends before the session.
  // Longer transfers than `elements_max` (of 4 bytes, or bytes) go in pieces: MPI counts in int.
  absl::StatusOr<std::unique_ptr<Communicator>> MakeCommunicator(int64_t elements_max = int64_t{1} << 30);

  // True after the first failure of a communicator: leave by _exit with a code, mpirun then ends the others.
  bool dead() const { return dead_->load(); }

 private:
  MpiSession() = default;
  std::shared_ptr<std::atomic<bool>> dead_;  // shared with the communicator, which reports its death
  int64_t rank_ = 0, size_ = 1;
};

}  // namespace drover
