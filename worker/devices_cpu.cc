// devices.h for programs whose ranks compute on the CPU alone.
#include "worker/cpu_device.h"

namespace drover {
namespace {

absl::Status CheckName(const std::string& device) {
  if (device == "cpu") return absl::OkStatus();
  return InvalidArgument("device: found ", device, ", expected cpu: this program was built without CUDA (drover-worker-cuda has it)");
}

}  // namespace

bool MeetsByItself(const DevicePlace&) { return false; }
absl::StatusOr<std::string> MakeMeeting(const DevicePlace&) { return std::string(); }

absl::StatusOr<Device> OpenDevice(const DeviceRequest& request) {
  DROVER_RETURN_IF_ERROR(CheckName(request.place.device));
  return OpenCpu(request);
}

absl::StatusOr<double> MeasureDevice(const std::string& device, int64_t threads, int64_t bytes, int64_t passes) {
  DROVER_RETURN_IF_ERROR(CheckName(device));
  return MeasureReadBandwidth(threads, bytes, passes);
}

absl::StatusOr<DeviceFacts> DescribeDevice(const std::string& device) {
  DROVER_RETURN_IF_ERROR(CheckName(device));
  return DescribeCpu();
}

}  // namespace drover
