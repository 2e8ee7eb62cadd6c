// A loopback group on device 0, and a chain of calls that its streams must not run out of order: for the stand-in and for a GPU.
#pragma once

#include "tests/worker/device_ranks.h"
#include "worker/comm/loopback_communicator.h"

namespace drover {

// The body runs on a thread for each of the first `present` ranks; the statuses by rank.
inline std::vector<absl::Status> OnLoopback(int64_t ranks, int64_t present,
                                            const std::function<absl::Status(DeviceRank&, Communicator&)>& body) {
  std::vector<absl::Status> statuses(static_cast<size_t>(present));
  std::vector<DeviceRank> owners(static_cast<size_t>(ranks));
  std::vector<CudaDevice*> devices;
  for (int64_t r = 0; r < ranks; ++r) {
    DeviceRank& owner = owners[static_cast<size_t>(r)];
    owner.rank = r;
    statuses[0] = owner.Open(0);
    if (!statuses[0].ok()) return statuses;
    devices.push_back(owner.device.get());
  }
  auto group = LoopbackCommunicator::MakeGroup(devices);
  statuses[0] = group.status();
  if (!group.ok()) return statuses;
  std::vector<std::thread> threads;
  for (size_t r = 0; r < statuses.size(); ++r) {
    threads.emplace_back([&, r] {
      (*group)[r]->SetDeadline(std::chrono::steady_clock::now() + std::chrono::minutes(1));
      statuses[r] = body(owners[r], *(*group)[r]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

// Nothing is waited for between calls: a stream that does not wait for the others reads too early or writes too soon.
inline absl::Status ChainOfCalls(DeviceRank& rank, Communicator& comm, int64_t count) {
  const int64_t ranks = comm.size();
  DROVER_ASSIGN_OR_RETURN(AlignedBytes x, rank.Filled(count, 1));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes y, rank.Filled(count, 0));
  const std::vector<float> ones(static_cast<size_t>(count), 1);
  for (int i = 0; i < 6; ++i) {
    rank.memory->Upload(std::as_bytes(std::span(ones)), x.data());  // what others still read must not change
    DROVER_RETURN_IF_ERROR(comm.AllReduceSum(Floats(x)));
    rank.memory->Copy({x.data(), static_cast<size_t>(x.size())}, y.data());
    DROVER_RETURN_IF_ERROR(comm.Broadcast({y.data(), static_cast<size_t>(y.size())}, i % ranks));
    rank.memory->Zero({x.data(), static_cast<size_t>(x.size())});
    DROVER_RETURN_IF_ERROR(comm.AllReduceSum(Floats(y)));
    DROVER_ASSIGN_OR_RETURN(const std::vector<float> sums, rank.Fetch(y));
    for (const float sum : sums)
      if (sum != static_cast<float>(ranks * ranks)) return Internal("round ", i, ": found ", sum, ", expected ", ranks * ranks);
  }
  return absl::OkStatus();
}

}  // namespace drover
