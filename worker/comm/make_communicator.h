// This process's place among the ranks of its group, and the way to the others. The only place that knows whether MPI was built in.
#pragma once

#include <memory>

#include "worker/comm/communicator.h"

namespace drover {

// Lives on one thread, longer than anything that uses the communicator. Its end leaves the group together with the other ranks,
// unless the group is dead.
class Peers {
 public:
  virtual ~Peers() = default;
  virtual Communicator& communicator() = 0;
};

// One rank needs nobody; more are the world of an mpirun, in which this process must be `rank` of `ranks`.
absl::StatusOr<std::unique_ptr<Peers>> JoinPeers(int64_t rank, int64_t ranks, int* argc, char*** argv);

}  // namespace drover
