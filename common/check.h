// DROVER_CHECK: our own broken invariants stop the process with the values printed. Never used on outside input.
#pragma once

#include <string>

#include "common/status.h"

namespace drover::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* what, const std::string& values);
}  // namespace drover::internal

#define DROVER_CHECK(condition) \
  ((condition) ? void() : ::drover::internal::CheckFailed(__FILE__, __LINE__, #condition, ""))
#define DROVER_CHECK_OP(a, op, b)                       \
  (((a)op(b)) ? void()                                  \
              : ::drover::internal::CheckFailed(__FILE__, __LINE__, #a " " #op " " #b, \
                                                ::drover::Cat((a), " against ", (b))))
#define DROVER_CHECK_EQ(a, b) DROVER_CHECK_OP(a, ==, b)
#define DROVER_CHECK_LE(a, b) DROVER_CHECK_OP(a, <=, b)
#define DROVER_CHECK_LT(a, b) DROVER_CHECK_OP(a, <, b)
