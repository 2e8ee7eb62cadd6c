// See cpu_device.h.
#include "worker/cpu_device.h"

#include "worker/host.h"

namespace drover {

absl::StatusOr<Device> OpenCpu(const DeviceRequest& request) {
  if (request.compute != "f32") return Unimplemented("plan.compute: found ", request.compute, ", expected f32 on a CPU");
  if (request.place.attention != "own") return InvalidArgument("--attention: found ", request.place.attention, ", expected own on a CPU");
  Device device;
  DROVER_ASSIGN_OR_RETURN(device.ops, MakeOps(request.ops));
  return device;
}

DeviceFacts DescribeCpu() { return {.place = "", .memory_bytes = MemoryBytes()}; }

}  // namespace drover
