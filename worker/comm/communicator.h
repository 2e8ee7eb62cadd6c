// Communicator: what the ranks of a group need of each other inside a step. One thread per rank calls it; every rank makes the same
// calls in the same order. Every wait is bounded by the deadline of the current step; after the first error the communicator is dead.
//
// All pointers are of one memory. Over the host's memory a call is done when it returns. Over a device's it takes its place among the
// device's operations: the next wait for the device (Ops::Finish, Memory::Download) tells whether it was done, and by the deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/status.h"
#include "kernels/ops.h"

namespace drover {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int64_t rank() const = 0;
  virtual int64_t size() const = 0;

  // Whether steps with its calls may be recorded: see Ops::Replay.
  virtual bool recordable() const { return false; }

  // Calls after this must end before `deadline`, or fail with kDeadlineExceeded.
  virtual void SetDeadline(std::chrono::steady_clock::time_point deadline) = 0;

  // x ← sum over ranks of x, the same bits on every rank. Communicators of host memory and of one device add in rank order, so that
  // every run gets the same bits too; NCCL has an order of its own.
  virtual absl::Status AllReduceSum(std::span<float> x) = 0;
  // x ← x + Σ_ranks a, then y = norm(x): AllReduceSum, then ops.AddNorm. a is worth nothing afterwards; y may be a.
  virtual absl::Status SumAddNorm(Ops& ops, Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
    DROVER_RETURN_IF_ERROR(AllReduceSum(a.all()));
    ops.AddNorm(a, norm, x, y);
    return absl::OkStatus();
  }
  // all ← concatenation over ranks r of mine_r; counts[r] = mine_r.size(), in floats; zero counts are legal.
  virtual absl::Status AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) = 0;
  // send holds send_counts[r] floats for each rank r in order; receive gets receive_counts[r] from each.
  virtual absl::Status AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                std::span<const int64_t> receive_counts) = 0;
  virtual absl::Status Broadcast(std::span<std::byte> bytes, int64_t root) = 0;
  virtual absl::Status Send(std::span<const std::byte> bytes, int64_t to) = 0;
  virtual absl::Status Receive(std::span<std::byte> bytes, int64_t from) = 0;

  // The ranks in `parts` equal runs (parts divides size): the communicator of this rank's run, in which it has rank % (size / parts).
  // Every rank calls it. The new one ends before this one; deadline and death are shared.
  virtual absl::StatusOr<std::unique_ptr<Communicator>> Split(int64_t parts) = 0;

  // Any thread: every pending and later call of this rank fails soon with kAborted; of the others too where ranks share a process,
  // else they fail by their deadlines.
  virtual void Abort() = 0;
};

}  // namespace drover
