// devices.h for programs with the CUDA back end: the CPU, and cuda:N for the GPU of that number.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>

#include "common/log.h"
#include "kernels/cuda/cuda_ops.h"
#include "worker/comm/solo_communicator.h"
#include "worker/comm/staged_communicator.h"
#include "worker/cpu_device.h"
#include "worker/exit_codes.h"

#if DROVER_HAVE_NCCL
#include "worker/comm/nccl_communicator.h"
#endif

namespace drover {
namespace {

// Of a GPU's memory, for what no plan counts: libraries, recorded steps, experts on their way.
constexpr int64_t kReserveBytes = int64_t{2} << 30;
constexpr int kCopiesAPass = 8;  // long beside the calls

absl::StatusOr<int> NumberOf(const std::string& device) {
  constexpr std::string_view kPrefix = "cuda:";
  int number = 0;
  if (device.starts_with(kPrefix)) {
    const char *first = device.data() + kPrefix.size(), *last = device.data() + device.size();
    if (const auto [end, error] = std::from_chars(first, last, number); error == std::errc() && end == last && number >= 0) return number;
  }
  return InvalidArgument("device: found ", device, ", expected cpu or cuda:N");
}

absl::StatusOr<CudaCompute> ComputeOf(const std::string& compute) {
  if (compute == "f32") return CudaCompute::kF32;
  if (compute == "bf16") return CudaCompute::kBF16;
  return Unimplemented("plan.compute: found ", compute, ", expected f32 or bf16");
}

using TimePoint = std::chrono::steady_clock::time_point;
using Met = absl::StatusOr<std::unique_ptr<Communicator>>;

#if DROVER_HAVE_NCCL
constexpr bool kHaveNccl = true;

// The ways of a rank to the others, one in each epoch.
std::function<Met(const std::string&, TimePoint)> WayByNccl(CudaOps& ops, const DevicePlace& place) {
  NcclSettings settings{.rank = place.rank, .ranks = place.ranks, .record = place.record};
  settings.wedged = [](const std::string& what) {  // a GPU must not be held by what does not end
    Log(LogLevel::kError, "rank leaves", {{"reason", what}});
    std::_Exit(kExitLeftEpoch);
  };
  const auto rooms = place.peer_sums ? std::make_shared<PeerRooms>(ops.memory()) : nullptr;
  settings.rooms = rooms.get();
  return [&ops, settings, rooms](const std::string& meeting, TimePoint deadline) {
    return NcclCommunicator::Join(meeting, ops.device(), settings, deadline);
  };
}
absl::StatusOr<std::string> NcclMeeting() { return NcclCommunicator::MakeMeeting(); }
#else
constexpr bool kHaveNccl = false;

std::function<Met(const std::string&, TimePoint)> WayByNccl(CudaOps&, const DevicePlace&) {
  return [](const std::string&, TimePoint) -> Met { return Unimplemented("transport: this program was built without NCCL, expected host"); };
}
absl::StatusOr<std::string> NcclMeeting() {
  return Unimplemented("transport: found nccl, expected host: this program was built without NCCL");
}
#endif

}  // namespace

bool MeetsByItself(const DevicePlace& place) {
  if (place.device == "cpu" || place.ranks == 1) return false;
  return place.transport == "nccl" || (place.transport == "auto" && kHaveNccl);
}

absl::StatusOr<std::string> MakeMeeting(const DevicePlace& place) {
  if (!MeetsByItself(place)) return std::string();
  DROVER_RETURN_IF_ERROR(NumberOf(place.device).status());
  return NcclMeeting();
}

absl::StatusOr<Device> OpenDevice(const DeviceRequest& request) {
  const DevicePlace& place = request.place;
  if (place.device == "cpu") return OpenCpu(request);
  DROVER_ASSIGN_OR_RETURN(const int number, NumberOf(place.device));
  DROVER_ASSIGN_OR_RETURN(const CudaCompute compute, ComputeOf(request.compute));
  const CudaOptions options{.device = number, .compute = compute, .tokens = request.ops.bounds.tokens, .cols = request.ops.bounds.cols,
                            .flashinfer = place.attention == "flashinfer"};
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<CudaOps> ops, CudaOps::Create(options));
  Device device;
  if (MeetsByItself(place)) {
    device.meet = WayByNccl(*ops, place);
  } else if (place.ranks == 1) {
    device.meet = [ops = ops.get()](const std::string&, TimePoint) -> Met { return std::make_unique<SoloCommunicator>(ops->memory()); };
  } else {
    device.meet = [ops = ops.get(), host = request.host](const std::string&, TimePoint) -> Met {
      return std::make_unique<StagedCommunicator>(*host, ops->memory());
    };
  }
  device.ops = std::move(ops);
  return device;
}

absl::StatusOr<double> MeasureDevice(const std::string& device, int64_t threads, int64_t bytes, int64_t passes) {
  if (device == "cpu") return MeasureReadBandwidth(threads, bytes, passes);
  DROVER_ASSIGN_OR_RETURN(const int number, NumberOf(device));
  DROVER_ASSIGN_OR_RETURN(const std::unique_ptr<CudaOps> ops, CudaOps::Create({.device = number}));
  Memory& memory = ops->memory();
  DROVER_ASSIGN_OR_RETURN(const AlignedBytes from, memory.AllocateZeros(bytes));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes to, memory.Allocate(bytes));
  double best = 0;
  for (int64_t pass = 0; pass <= passes; ++pass) {  // the first is not counted
    DROVER_RETURN_IF_ERROR(ops->Finish());
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCopiesAPass; ++i) memory.Copy({from.data(), static_cast<size_t>(bytes)}, to.data());
    DROVER_RETURN_IF_ERROR(ops->Finish());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (pass > 0) best = std::max(best, static_cast<double>(2 * kCopiesAPass * bytes) / seconds.count());
  }
  return best;
}

absl::StatusOr<DeviceFacts> DescribeDevice(const std::string& device) {
  if (device == "cpu") return DescribeCpu();
  DROVER_ASSIGN_OR_RETURN(const int number, NumberOf(device));
  DROVER_ASSIGN_OR_RETURN(const CudaFacts facts, DescribeCuda(number));
  const int64_t reserve = std::min(kReserveBytes, facts.total_bytes / 16);
  return DeviceFacts{.place = Cat(device, " (", facts.name, ")"), .memory_bytes = std::max<int64_t>(facts.free_bytes - reserve, 1)};
}

}  // namespace drover
