// The CPU as a device: what every program with a rank in it has.
#pragma once

#include "worker/devices.h"

namespace drover {

absl::StatusOr<Device> OpenCpu(const DeviceRequest& request);
DeviceFacts DescribeCpu();

}  // namespace drover
