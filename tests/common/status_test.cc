// Messages built from parts, and the control-flow macros.
#include "common/status.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(Cat, JoinsStringsNumbersAndBools) {
  EXPECT_EQ(Cat("a", std::string("b"), std::string_view("c"), 1, -2L, 3u, 0.5, true, 'x'), "abc1-230.5truex");
}

absl::StatusOr<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("x: found ", x, ", expected an even number");
  return x / 2;
}

absl::StatusOr<int> Quarter(int x) {
  DROVER_ASSIGN_OR_RETURN(const int half, Half(x));
  DROVER_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(Macros, PassTheFirstErrorOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Message(Quarter(6).status()), "x: found 3, expected an even number");
  EXPECT_EQ(Quarter(6).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Annotate, KeepsTheCodeAndPutsTheContextInFront) {
  const absl::Status status = Annotate(NotFound("no such file"), "model");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(status), "model: no such file");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "model").ok());
}

}  // namespace
}  // namespace drover
