// See check.h.
#include "common/check.h"

#include <cstdio>
#include <cstdlib>

namespace drover::internal {

void CheckFailed(const char* file, int line, const char* what, const std::string& values) {
  std::fprintf(stderr, "drover: broken invariant at %s:%d: %s %s\n", file, line, what, values.c_str());
  std::abort();
}

}  // namespace drover::internal
