// See metrics.h. prometheus-cpp stays in this file.
#include "coordinator/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "common/mutex.h"
#include "common/status.h"

namespace drover {
namespace {

using prometheus::Histogram;
using Labels = std::map<std::string, std::string>;

const Histogram::BucketBoundaries kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5,
                                                 7.5, 10, 20, 40, 80, 160, 640, 2560};
const Histogram::BucketBoundaries kPerToken = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5,
                                               10, 20, 40, 80};
const Histogram::BucketBoundaries kWhole = {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960,
                                            1920, 7680};
const Histogram::BucketBoundaries kTokens = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000,
                                             100000, 200000, 500000, 1000000};

std::string_view ReasonName(FinishReason reason) {
  static constexpr std::string_view kNames[] = {"none", "stop", "length", "abort", "error"};
  return kNames[static_cast<size_t>(reason)];
}

// A count that has shrunk belongs to a group that is gone: it says nothing.
std::vector<double> Grown(const HostGaps& now, const HostGaps& before) {
  std::vector<double> more;
  for (size_t i = 0; i < now.counts.size(); ++i) more.push_back(static_cast<double>(now.counts[i] - std::min(now.counts[i], before.counts[i])));
  return more;
}

}  // namespace

struct Metrics::Parts {
  explicit Parts(const std::string& model) : labels{{"engine", "0"}, {"model_name", model}} {}

  prometheus::Counter& MakeCounter(const char* name, const char* help, const Labels& more = {}) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add(With(more));
  }
  prometheus::Gauge& MakeGauge(const char* name, const char* help, const Labels& more = {}) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(With(more));
  }
  Histogram& MakeHistogram(const char* name, const char* help, const Histogram::BucketBoundaries& edges) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, edges);
  }
  Labels With(const Labels& more) const {
    Labels all = labels;
    all.insert(more.begin(), more.end());
    return all;
  }

  prometheus::Registry registry;
  const Labels labels;
  prometheus::Gauge& running = MakeGauge("vllm:num_requests_running", "Requests in a group's running batch");
  prometheus::Gauge& waiting = MakeGauge("vllm:num_requests_waiting", "Requests waiting for a place in a batch");
  prometheus::Gauge& kv_usage = MakeGauge("vllm:kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1");
  prometheus::Counter& prompt_tokens = MakeCounter("vllm:prompt_tokens_total", "Prompt tokens of finished requests");
  prometheus::Counter& output_tokens = MakeCounter("vllm:generation_tokens_total", "Tokens generated for clients");
  prometheus::Counter& preemptions = MakeCounter("vllm:num_preemptions_total", "Sequences put back for want of KV blocks");
  Histogram& first_token = MakeHistogram("vllm:time_to_first_token_seconds", "From arrival to the first token", kFirstToken);
  Histogram& between = MakeHistogram("vllm:inter_token_latency_seconds", "Between two tokens of one answer", kPerToken);
  Histogram& per_token = MakeHistogram("vllm:request_time_per_output_token_seconds", "Mean per token after the first", kPerToken);
  Histogram& whole = MakeHistogram("vllm:e2e_request_latency_seconds", "From arrival to the end", kWhole);
  Histogram& queued = MakeHistogram("vllm:request_queue_time_seconds", "From arrival to submission to a group", kWhole);
  Histogram& inference = MakeHistogram("vllm:request_inference_time_seconds", "From submission to the end", kWhole);
  Histogram& decode = MakeHistogram("vllm:request_decode_time_seconds", "From the first token to the end", kWhole);
  Histogram& prompt_length = MakeHistogram("vllm:request_prompt_tokens", "Prompt tokens of a request", kTokens);
  Histogram& output_length = MakeHistogram("vllm:request_generation_tokens", "Generated tokens of a request", kTokens);
  Histogram& asked_length = MakeHistogram("vllm:request_params_max_tokens", "max_tokens of a request", kTokens);
  Histogram& gaps = MakeHistogram("drover_host_gap_seconds", "Between two steps of a group with work: the device waits for the host",
                                  {HostGaps::kEdges.begin(), HostGaps::kEdges.end()});
  prometheus::Gauge& groups_ready = MakeGauge("drover_groups_ready", "Groups that serve");
  prometheus::Gauge& ranks = MakeGauge("drover_ranks_joined", "Ranks with a live stream");
  Mutex mutex;
  int64_t preemptions_seen ABSL_GUARDED_BY(mutex) = 0;
  HostGaps gaps_seen ABSL_GUARDED_BY(mutex);
  std::string cache_info ABSL_GUARDED_BY(mutex);
};

Metrics::Metrics(const std::string& model) : parts_(std::make_unique<Parts>(model)) {}
Metrics::~Metrics() = default;

void Metrics::Refused(absl::StatusCode code) {
  parts_->MakeCounter("drover_requests_refused_total", "Requests refused at admission",
                      {{"code", absl::StatusCodeToString(code)}}).Increment();
}

void Metrics::Token(TimePoint arrived, TimePoint previous, TimePoint now) {
  parts_->output_tokens.Increment();
  if (previous == TimePoint{}) {
    parts_->first_token.Observe(Seconds(now - arrived));
  } else {
    parts_->between.Observe(Seconds(now - previous));
  }
}

void Metrics::Finished(const FinishedRequest& r) {
  Parts& p = *parts_;
  p.MakeCounter("vllm:request_success_total", "Requests by how they ended",
                {{"finished_reason", std::string(ReasonName(r.reason))}}).Increment();
  p.prompt_tokens.Increment(static_cast<double>(r.prompt_tokens));
  p.whole.Observe(Seconds(r.ended - r.arrived));
  p.prompt_length.Observe(static_cast<double>(r.prompt_tokens));
  p.output_length.Observe(static_cast<double>(r.output_tokens));
  p.asked_length.Observe(static_cast<double>(r.max_tokens));
  if (r.submitted == TimePoint{}) return;
  p.queued.Observe(Seconds(r.submitted - r.arrived));
  p.inference.Observe(Seconds(r.ended - r.submitted));
  if (r.first_token == TimePoint{}) return;
  p.decode.Observe(Seconds(r.ended - r.first_token));
  if (r.output_tokens > 1)
    p.per_token.Observe(Seconds(r.ended - r.first_token) / static_cast<double>(r.output_tokens - 1));
}

void Metrics::HttpAnswered(const std::string& handler, const std::string& method, int status, double seconds) {
  const Labels labels = {{"handler", handler}, {"method", method}, {"status", Cat(status / 100, "xx")}};
  parts_->MakeCounter("http_requests_total", "HTTP requests answered", labels).Increment();
  prometheus::BuildHistogram().Name("http_request_duration_seconds").Help("Until the last byte of the answer was handed over")
      .Register(parts_->registry).Add(parts_->With({{"handler", handler}, {"method", method}}), kFirstToken).Observe(seconds);
}

void Metrics::SetLoad(const LoadGauges& load) {
  Parts& p = *parts_;
  p.running.Set(static_cast<double>(load.running));
  p.waiting.Set(static_cast<double>(load.waiting));
  p.kv_usage.Set(load.kv_used_share);
  p.groups_ready.Set(static_cast<double>(load.groups_ready));
  p.ranks.Set(static_cast<double>(load.ranks));
  MutexLock lock(p.mutex);
  if (load.preemptions > p.preemptions_seen) p.preemptions.Increment(static_cast<double>(load.preemptions - p.preemptions_seen));
  p.preemptions_seen = load.preemptions;
  p.gaps.ObserveMultiple(Grown(load.gaps, p.gaps_seen), std::max(0.0, load.gaps.seconds - p.gaps_seen.seconds));
  p.gaps_seen = load.gaps;
  const std::string info = Cat(load.block_tokens, "/", load.kv_blocks);
  if (load.kv_blocks == 0 || info == p.cache_info) return;
  p.cache_info = info;
  p.MakeGauge("vllm:cache_config_info", "Shape of the KV cache",
              {{"block_size", Cat(load.block_tokens)}, {"num_gpu_blocks", Cat(load.kv_blocks)}}).Set(1);
}

std::string Metrics::Text() const { return prometheus::TextSerializer().Serialize(parts_->registry.Collect()); }

}  // namespace drover
