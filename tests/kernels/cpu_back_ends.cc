// The instruction sets that this machine has, for the parity tests.
#include "tests/kernels/random_tensors.h"

namespace drover {

std::vector<std::string> BackEndsHere() {
  std::vector<std::string> isas;
  for (const std::string isa : {"baseline", "avx2", "avx512"})
    if (MakeOps({.isa = isa}).ok()) isas.push_back(isa);
  return isas;
}

std::vector<std::string> AttendBackEndsHere() { return BackEndsHere(); }
AttendPromise AttendPromiseOf(const std::string&) { return {}; }
std::vector<std::string> LinearBackEndsHere() { return BackEndsHere(); }
LinearPromise PromiseOf(const std::string&) { return {}; }

std::unique_ptr<Ops> OpsOf(const std::string& back_end, int64_t threads) {
  absl::StatusOr<std::unique_ptr<Ops>> ops = MakeOps({.threads = threads, .isa = back_end, .bounds = {.tokens = 128, .cols = 2048, .keys = 20480}});
  EXPECT_TRUE(ops.ok()) << ops.status();
  return *std::move(ops);
}

uint32_t RunSeed() { return 0; }

}  // namespace drover
