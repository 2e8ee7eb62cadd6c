// The coordinator's numbers under the names that dashboards of vLLM know (vllm:*) and its own (drover_*). Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>

#include "common/clock.h"
#include "common/host_gaps.h"
#include "common/request.h"

namespace drover {

struct FinishedRequest {
  FinishReason reason = FinishReason::kNone;
  int64_t prompt_tokens = 0, output_tokens = 0, max_tokens = 0;
  TimePoint arrived{}, submitted{}, first_token{}, ended{};  // zero: never happened
};

struct LoadGauges {
  int64_t running = 0, waiting = 0;
  double kv_used_share = 0;        // 0..1
  int64_t preemptions = 0;         // since the groups' start
  HostGaps gaps;                   // likewise
  int64_t groups_ready = 0, ranks = 0;
  int64_t block_tokens = 0, kv_blocks = 0;
};

class Metrics {
 public:
  explicit Metrics(const std::string& model);
  ~Metrics();

  void Refused(absl::StatusCode code);
  void Token(TimePoint arrived, TimePoint previous, TimePoint now);  // `previous` zero: the first token
  void Finished(const FinishedRequest& request);
  void HttpAnswered(const std::string& handler, const std::string& method, int status, double seconds);
  void SetLoad(const LoadGauges& load);

  // Prometheus text format 0.0.4.
  std::string Text() const;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace drover
