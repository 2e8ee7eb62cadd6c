// See make_ops.h.
#include "kernels/make_ops.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"

namespace drover {
namespace {
constexpr int64_t kThreadsMax = 1024;
constexpr int64_t kReadChunkBytes = 1 << 20;

absl::Status CheckThreads(int64_t threads) {
  if (threads >= 1 && threads <= kThreadsMax) return absl::OkStatus();
  return InvalidArgument("threads: found ", threads, ", expected 1 to ", kThreadsMax);
}
}  // namespace

absl::StatusOr<std::unique_ptr<Ops>> MakeOps(const OpsOptions& options) {
  DROVER_RETURN_IF_ERROR(CheckThreads(options.threads));
  if (options.isa == "reference") return std::make_unique<Ops>();
  Isa isa = BestIsa();
  if (options.isa != "best") {
    DROVER_ASSIGN_OR_RETURN(isa, IsaFromName(options.isa));
  }
  return std::make_unique<CpuOps>(isa, options);
}

std::string BestIsaName() { return std::string(Name(BestIsa())); }

absl::StatusOr<double> MeasureReadBandwidth(int64_t threads, int64_t bytes, int64_t passes) {
  DROVER_RETURN_IF_ERROR(CheckThreads(threads));
  const KernelTable& kernels = KernelsOf(BestIsa());
  const int64_t chunks = bytes / kReadChunkBytes;
  AlignedBytes memory(chunks * kReadChunkBytes);
  ThreadPool pool(threads);
  std::memset(memory.data(), 0, static_cast<size_t>(memory.size()));  // real pages, not the shared zero page
  std::vector<double> sums(static_cast<size_t>(chunks));
  double best = 0;
  for (int64_t pass = 0; pass < passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.Run(chunks, [&](int64_t chunk, int64_t) {
      const auto* floats = reinterpret_cast<const float*>(memory.data() + chunk * kReadChunkBytes);
      sums[static_cast<size_t>(chunk)] = kernels.read_sum(floats, kReadChunkBytes / static_cast<int64_t>(sizeof(float)));
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(memory.size()) / seconds.count());
  }
  for (const double sum : sums)
    if (sum != 0) return Internal("read bandwidth: found a sum of ", sum, " over zeros");
  return best;
}

}  // namespace drover
