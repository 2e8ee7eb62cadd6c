// Steps of a rank that are recorded with calls to other ranks, for stand-ins and GPUs.
#pragma once

#include "kernels/cuda/recordings.h"
#include "tests/worker/device_ranks.h"
#include "worker/comm/communicator.h"

namespace drover {

// Sums and gathers of a rank's own numbers, as steps of `shapes` sizes: the first of each runs as it is, the second is recorded, others repeat that.
class RecordedSums {
 public:
  static constexpr int64_t kShapes = 2;

  // All outlive it.
  static absl::StatusOr<RecordedSums> Make(DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) {
    RecordedSums made(rank, recordings, comm);
    DROVER_ASSIGN_OR_RETURN(made.x_, rank.Filled(kMost, 0));
    DROVER_ASSIGN_OR_RETURN(made.all_, rank.Filled(kMost * comm.size(), 0));
    return made;
  }

  // Queues a step and waits for it; `within` is called in the midst of its calls.
  absl::Status Step(int64_t step, const cuda::Signature& signature = {1, 1}, const std::function<void()>& within = [] {}) {
    const int64_t shape = step % kShapes, count = kMost / (shape + 1);
    const std::vector<float> mine(static_cast<size_t>(count), static_cast<float>(step + comm_.rank()));
    rank_.memory->Upload(std::as_bytes(std::span(mine)), x_.data());
    DROVER_RETURN_IF_ERROR(recordings_.Run(shape, signature, [&]() -> absl::Status {
      ++works_;
      const auto x = Floats(x_).first(static_cast<size_t>(count));
      DROVER_RETURN_IF_ERROR(comm_.AllReduceSum(x));
      within();
      DROVER_RETURN_IF_ERROR(comm_.AllGather(x.first(static_cast<size_t>(Part(comm_.rank()))), Parts(), Floats(all_).first(Total())));
      return comm_.AllReduceSum(x);
    }));
    return Check(step);
  }
  // How often the calls were made, not repeated.
  int64_t works() const { return works_; }

 private:
  static constexpr int64_t kMost = 1000;
  RecordedSums(DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) : rank_(rank), recordings_(recordings), comm_(comm) {}

  // Uneven, as a vocabulary's parts may be.
  static int64_t Part(int64_t rank) { return 3 + rank; }
  std::vector<int64_t> Parts() const {
    std::vector<int64_t> parts;
    for (int64_t r = 0; r < comm_.size(); ++r) parts.push_back(Part(r));
    return parts;
  }
  size_t Total() const {
    size_t total = 0;
    for (const int64_t part : Parts()) total += static_cast<size_t>(part);
    return total;
  }
  absl::Status Check(int64_t step) {
    const int64_t ranks = comm_.size(), sum = ranks * step + ranks * (ranks - 1) / 2;
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> x, rank_.Fetch(x_));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> all, rank_.Fetch(all_));
    if (x[0] != static_cast<float>(ranks * sum)) return Internal("step ", step, ": found ", x[0], ", expected ", ranks * sum);
    for (size_t i = 0; i < Total(); ++i)
      if (all[i] != static_cast<float>(sum)) return Internal("step ", step, ": gathered ", all[i], ", expected ", sum);
    return absl::OkStatus();
  }

  DeviceRank& rank_;
  cuda::Recordings& recordings_;
  Communicator& comm_;
  AlignedBytes x_, all_;
  int64_t works_ = 0;
};

// Many steps: right in each, and the calls made twice for a shape.
inline absl::Status ManyRecordedSums(DeviceRank& rank, cuda::Recordings& recordings, Communicator& comm) {
  DROVER_ASSIGN_OR_RETURN(RecordedSums sums, RecordedSums::Make(rank, recordings, comm));
  for (int64_t step = 0; step < 12; ++step) DROVER_RETURN_IF_ERROR(sums.Step(step));
  if (sums.works() != 2 * RecordedSums::kShapes) return Internal("the calls were made ", sums.works(), " times, expected ", 2 * RecordedSums::kShapes);
  return absl::OkStatus();
}

}  // namespace drover
