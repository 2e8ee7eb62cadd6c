// The order in which a served model ends: a device made up here says whether what ranks meet by outlives their communicators.
#include "worker/served_model.h"

#include <gtest/gtest.h>

#include "worker/comm/solo_communicator.h"

namespace drover {
namespace {

using Way = std::shared_ptr<int>;

class OfAWay : public SoloCommunicator {
 public:
  explicit OfAWay(const Way& way) : way_(way) {}
  ~OfAWay() override { EXPECT_FALSE(way_.expired()) << "rooms that peers write into would be gone"; }

 private:
  const std::weak_ptr<int> way_;
};

}  // namespace

absl::StatusOr<Device> OpenDevice(const DeviceRequest& request) {
  Device device;
  DROVER_ASSIGN_OR_RETURN(device.ops, MakeOps(request.ops));
  device.meet = [way = std::make_shared<int>()](const std::string&, auto) -> absl::StatusOr<std::unique_ptr<Communicator>> {
    return std::make_unique<OfAWay>(way);
  };
  return device;
}

namespace {

TEST(ServedModel, ItsCommunicatorsEndBeforeWhatTheyCameFrom) {
  const GroupPlan plan{.model_path = DROVER_SOURCE_DIR "/tests/testdata/golden/mixtral-6", .kv_blocks = 4};
  const auto model = MakeModelLoader({}, nullptr)(plan, "", [](int64_t, int64_t) {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->Rejoin("").ok());
}

}  // namespace
}  // namespace drover
