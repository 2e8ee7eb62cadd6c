// The devices that ranks compute on. Each program with a rank in it links one definition of these functions: devices_cpu.cc, or
// devices_cuda.cc where the CUDA back end is part of it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "kernels/make_ops.h"
#include "worker/comm/communicator.h"

namespace drover {

// Where one rank of a group is to compute.
struct DevicePlace {
  std::string device = "cpu";      // or cuda:0, cuda:1 ...
  std::string transport = "auto";  // how ranks with GPUs meet: nccl, or host (copies, through MPI); auto: nccl where it is
  std::string attention = "own";   // kernels of a GPU: own, or flashinfer for what that covers
  int64_t rank = 0, ranks = 1;
  bool record = true;      // whether ranks that meet by NCCL may replay recorded steps; the same on every rank
  bool peer_sums = false;  // whether they make small sums over each other's memory; likewise
};

// Whether the ranks of such a place meet without a communicator of the host, by bytes that rank 0 makes.
bool MeetsByItself(const DevicePlace& place);
// Those bytes, new ones at each call.
absl::StatusOr<std::string> MakeMeeting(const DevicePlace& place);

struct DeviceRequest {
  DevicePlace place;
  std::string compute = "f32";   // of matrix products; or bf16, where the device has it
  OpsOptions ops;                // threads and isa are the CPU's
  Communicator* host = nullptr;  // connects the ranks as processes and outlives the device; null: they meet by themselves
};

struct Device {
  std::unique_ptr<Ops> ops;
  // A communicator over the memory of `ops`, of all ranks that were given the same bytes. Null: the host's serves.
  std::function<absl::StatusOr<std::unique_ptr<Communicator>>(const std::string& meeting, std::chrono::steady_clock::time_point deadline)> meet;
};

// kInvalidArgument: this program has no such device; kUnavailable: the machine has none.
absl::StatusOr<Device> OpenDevice(const DeviceRequest& request);

// Bytes per second that ranks on the device read from its memory: MeasureReadBandwidth, or what a copy on a GPU reads and writes.
absl::StatusOr<double> MeasureDevice(const std::string& device, int64_t threads, int64_t bytes, int64_t passes);

// What the planner has to know of a device.
struct DeviceFacts {
  std::string place;         // distinct for devices with memory of their own; empty: the host
  int64_t memory_bytes = 0;  // free for a rank, less what the device itself will need
};
absl::StatusOr<DeviceFacts> DescribeDevice(const std::string& device);

}  // namespace drover
