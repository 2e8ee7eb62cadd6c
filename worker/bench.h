// Bench: how fast a group decodes and prefills some sequences, and what share of the machine's read bandwidth that is.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "common/dtype.h"
#include "common/json.h"
#include "worker/comm/communicator.h"

namespace drover {

struct BenchOptions {
  std::string model;                // checkpoint, or a config.json (or its folder) alone: random weights then
  int64_t threads = 1;              // of each rank
  int64_t batch = 1;                // sequences at a time
  int64_t prefill_tokens = 512;     // of each sequence
  int64_t decode_tokens = 64;       // of each sequence
  int64_t max_step_tokens = 512;    // of one prefill step
  std::string isa = "best";
  std::string device = "cpu", transport = "auto", attention = "own", compute = "f32";  // see DevicePlace and DeviceRequest
  DType kv_type = DType::kF32;      // or bf16
  DType random_dtype = DType::kBF16;
  uint64_t seed = 1;                // of random weights
  std::chrono::seconds step_limit{600};
};

// Sums over the ranks of the group. Bytes of a decode step: every matrix that the batch meets, once (of routed experts as many as its
// tokens choose on average, when they choose evenly), and the keys and values of contexts in the middle of the run.
struct BenchReport {
  std::string model, device, isa, compute, kv, transport, attention;  // isa: of a CPU
  bool random_weights = false;
  int64_t ranks = 1, threads = 1;
  int64_t batch = 1, prefill_tokens = 0, decode_tokens = 0;
  double host_gap_seconds = 0;      // of decode steps, at the middle: from a step's logits to the next step's first operation
  double prefill_tokens_per_second = 0, decode_tokens_per_second = 0;
  int64_t weight_bytes = 0;               // resident
  int64_t bytes_per_decode_step = 0;
  double read_bandwidth_bytes_per_second = 0;  // measured in this run, all ranks and threads streaming at once
  double read_bandwidth_share = 0;        // bytes moved by decoding per second, over the line above
  std::string logits_hash;                // FNV-1a over the bits of the last prefill row and the last decode row: equal from run to
                                          // run for one instruction set and rank count, whatever the threads
};

// Every rank of the group calls it with equal options; the report is complete on rank 0.
absl::StatusOr<BenchReport> RunBench(const BenchOptions& options, Communicator& ranks);

std::string ToText(const BenchReport& report);
Json ToJson(const BenchReport& report);

}  // namespace drover
