// The factory of back ends; the only place that knows which exist.
#pragma once

#include <memory>
#include <string>

#include "common/status.h"
#include "kernels/ops.h"

namespace drover {

// Of what will be asked, so that nothing is allocated later.
struct OpsBounds {
  int64_t tokens = 0;  // rows of any tensor
  int64_t cols = 0;    // columns of any weight
  int64_t keys = 0;    // keys of any sequence
};

struct OpsOptions {
  int64_t threads = 1;       // the calling thread included
  std::string isa = "best";  // best, baseline, avx2, avx512; reference: the plain equations
  OpsBounds bounds = {};
};

// Errors name the option: threads outside [1, 1024], an instruction set that this machine lacks.
absl::StatusOr<std::unique_ptr<Ops>> MakeOps(const OpsOptions& options);

// The instruction set that "best" means here.
std::string BestIsaName();

// Bytes per second that `threads` threads read from memory, streaming `bytes` (>= 256 MiB to defeat caches) `passes` times.
absl::StatusOr<double> MeasureReadBandwidth(int64_t threads, int64_t bytes, int64_t passes);

}  // namespace drover
