// Ranks as threads, each with a CUDA stream of its own: what the tests of communicators of a device share.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "kernels/cuda/device.h"
#include "tests/worker/near_communicator.h"

namespace drover {

struct DeviceRank {
  int64_t rank = 0;
  std::unique_ptr<CudaDevice> device;
  std::unique_ptr<CudaMemory> memory;

  absl::Status Open(int number) { return Open({.device = number}); }
  absl::Status Open(const CudaOptions& options) {
    DROVER_ASSIGN_OR_RETURN(device, CudaDevice::Open(options));
    DROVER_ASSIGN_OR_RETURN(memory, CudaMemory::Create(*device));
    return absl::OkStatus();
  }
  // `count` floats on the device, each `value`.
  absl::StatusOr<AlignedBytes> Filled(int64_t count, float value) {
    const std::vector<float> floats(static_cast<size_t>(count), value);
    DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, memory->Allocate(count * 4));
    memory->Upload(std::as_bytes(std::span(floats)), bytes.data());
    return bytes;
  }
  absl::StatusOr<std::vector<float>> Fetch(const AlignedBytes& bytes) {
    std::vector<float> floats(static_cast<size_t>(bytes.size()) / 4);
    DROVER_RETURN_IF_ERROR(memory->Download(bytes.data(), std::as_writable_bytes(std::span(floats))));
    return floats;
  }
};

inline std::span<float> Floats(AlignedBytes& bytes) {
  return {reinterpret_cast<float*>(bytes.data()), static_cast<size_t>(bytes.size()) / 4};
}

// Runs `body` on a thread for each rank, with a device for each; the statuses by rank.
inline std::vector<absl::Status> OnDevices(int64_t ranks, const std::function<absl::Status(DeviceRank&)>& body) {
  std::vector<absl::Status> statuses(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int64_t r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      DeviceRank rank{.rank = r};
      absl::Status& status = statuses[static_cast<size_t>(r)];
      status = rank.Open(static_cast<int>(r));
      if (status.ok()) status = body(rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

}  // namespace drover
