// Decode and prefill of a model with ranks as threads of one process: the numbers to look at when kernels change.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "worker/bench.h"
#include "worker/comm/thread_communicator.h"

int main(int argc, char** argv) {
  if (argc < 6) return std::fprintf(stderr, "usage: drover-bench-step MODEL RANKS THREADS PREFILL DECODE [ISA]\n"), 2;
  drover::BenchOptions options{.model = argv[1], .threads = std::atoi(argv[3]), .prefill_tokens = std::atoi(argv[4]),
                               .decode_tokens = std::atoi(argv[5]), .isa = argc > 6 ? argv[6] : "best"};
  auto ranks = drover::ThreadCommunicator::MakeGroup(std::max(1, std::atoi(argv[2])));
  std::vector<std::thread> threads;
  for (size_t r = 1; r < ranks.size(); ++r) threads.emplace_back([&, r] { drover::RunBench(options, *ranks[r]).status().IgnoreError(); });
  const auto report = drover::RunBench(options, *ranks[0]);
  for (std::thread& thread : threads) thread.join();
  if (!report.ok()) return std::fprintf(stderr, "%s\n", drover::Message(report.status()).c_str()), 1;
  std::printf("%s%s\n", drover::ToText(*report).c_str(), drover::ToJson(*report).dump().c_str());
  return 0;
}
