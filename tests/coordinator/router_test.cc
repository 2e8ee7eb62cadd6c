// Routing and admission as tables.
#include "coordinator/router.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

struct RouteCase {
  const char* name;
  std::vector<GroupLoad> groups;
  std::optional<std::string> chosen;
};

class Routing : public testing::TestWithParam<RouteCase> {};
TEST_P(Routing, Chooses) { EXPECT_EQ(ChooseGroup(GetParam().groups), GetParam().chosen); }

INSTANTIATE_TEST_SUITE_P(All, Routing, testing::Values(
    RouteCase{"NobodyIsThere", {}, std::nullopt},
    RouteCase{"NobodyIsReady", {{"a", false, 0, 4}}, std::nullopt},
    RouteCase{"TheOnlyOne", {{"a", true, 0, 4}}, "a"},
    RouteCase{"FullMeansWait", {{"a", true, 4, 4}}, std::nullopt},
    RouteCase{"TheLeastBusy", {{"a", true, 3, 4}, {"b", true, 1, 4}, {"c", true, 2, 4}}, "b"},
    RouteCase{"ByShareNotByNumber", {{"small", true, 1, 2}, {"large", true, 3, 16}}, "large"},
    RouteCase{"TheFirstOfEquals", {{"a", true, 1, 4}, {"b", true, 1, 4}}, "a"},
    RouteCase{"ABusyReadyOneBeatsAnIdleUnreadyOne", {{"a", false, 0, 4}, {"b", true, 3, 4}}, "b"},
    RouteCase{"ZeroSlotsIsNeverChosen", {{"a", true, 0, 0}}, std::nullopt}),
    [](const auto& info) { return std::string(info.param.name); });

struct AdmitCase {
  const char* name;
  AdmissionState state;
  absl::StatusCode code;
};

class Admission : public testing::TestWithParam<AdmitCase> {};
TEST_P(Admission, Answers) { EXPECT_EQ(Admit(GetParam().state).code(), GetParam().code); }

INSTANTIATE_TEST_SUITE_P(All, Admission, testing::Values(
    AdmitCase{"RoomToWait", {false, true, 3, 4}, absl::StatusCode::kOk},
    AdmitCase{"FullQueue", {false, true, 4, 4}, absl::StatusCode::kResourceExhausted},
    AdmitCase{"NoGroup", {false, false, 0, 4}, absl::StatusCode::kUnavailable},
    AdmitCase{"DrainingComesFirst", {true, true, 4, 4}, absl::StatusCode::kUnavailable}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace drover
