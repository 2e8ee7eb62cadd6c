// See bench.h.
#include "worker/bench.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "models/checkpoint/checkpoint.h"
#include "worker/model/decoder.h"
#include "worker/weights/load.h"
#include "worker/weights/random.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kReadBytes = int64_t{512} << 20;  // of all ranks together: beyond the caches
constexpr int64_t kReadPasses = 4;
constexpr int64_t kTokensMax = 1 << 20;

double Seconds(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

absl::Status Check(const BenchOptions& options) {
  if (options.prefill_tokens < 1 || options.prefill_tokens > kTokensMax)
    return InvalidArgument("prefill: found ", options.prefill_tokens, ", expected 1 to ", kTokensMax);
  if (options.decode_tokens < 1 || options.decode_tokens > kTokensMax)
    return InvalidArgument("decode: found ", options.decode_tokens, ", expected 1 to ", kTokensMax);
  return absl::OkStatus();
}

// A number of this rank summed over ranks; exact up to 2^44: f32 carries two halves of it.
absl::StatusOr<int64_t> SumOverRanks(int64_t value, Communicator& ranks) {
  float halves[2] = {static_cast<float>(value >> 20), static_cast<float>(value & ((1 << 20) - 1))};
  DROVER_RETURN_IF_ERROR(ranks.AllReduceSum(halves));
  return (static_cast<int64_t>(halves[0]) << 20) + static_cast<int64_t>(halves[1]);
}

int64_t Bytes(const PackedWeight& weight) {
  return weight.rows * weight.row_bytes + weight.groups.scales.size() + weight.groups.zeros.size();
}
int64_t Bytes(const FfnWeights& ffn) { return Bytes(ffn.gate) + Bytes(ffn.up) + Bytes(ffn.down); }

// Bytes of weights that one token reads on this rank.
int64_t WeightBytesPerToken(const ModelSpec& spec, const RankWeights& weights) {
  int64_t bytes = Bytes(spec.tied_embeddings ? weights.embedding : weights.output);
  for (int64_t i = 0; i < spec.layers(); ++i) {
    const LayerWeights& layer = weights.layers[static_cast<size_t>(i)];
    bytes += Bytes(layer.q) + Bytes(layer.k) + Bytes(layer.v) + Bytes(layer.o) + Bytes(layer.ffn) + Bytes(layer.shared);
    const std::optional<Experts>& experts = spec.layer(i).ffn.experts;
    if (!experts) continue;
    int64_t routed = 0;
    for (const FfnWeights& expert : layer.experts) routed += Bytes(expert);
    bytes += Bytes(layer.router) + routed * experts->active / experts->count;
  }
  return bytes;
}

uint64_t Hash(uint64_t hash, std::span<const float> values) {
  for (const std::byte byte : std::as_bytes(values)) hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

// One sequence on a decoder, with ids that depend on their position alone.
class Sequence {
 public:
  Sequence(Decoder& decoder, Communicator& ranks, const BenchOptions& options, int64_t blocks)
      : decoder_(decoder), ranks_(ranks), options_(options) {
    plan_.sequences.resize(1);
    plan_.sequences[0].blocks.resize(static_cast<size_t>(blocks));
    std::iota(plan_.sequences[0].blocks.begin(), plan_.sequences[0].blocks.end(), 0);
    plan_.sequences[0].logits = LogitsWanted::kLast;
  }

  void Rewind() { plan_.sequences[0].position = 0; }

  // The next `count` tokens, at most `at_once` a step; the last row of logits stays in last().
  absl::Status Advance(int64_t count, int64_t at_once) {
    StepSequence& sequence = plan_.sequences[0];
    for (int64_t left = count; left > 0;) {
      sequence.tokens.clear();
      for (int64_t i = 0; i < std::min(left, at_once); ++i)
        sequence.tokens.push_back(static_cast<int32_t>(((sequence.position + i) * 7919 + 13) % decoder_.spec().vocab));
      ranks_.SetDeadline(Clock::now() + options_.step_limit);
      DROVER_ASSIGN_OR_RETURN(last_, decoder_.Run(plan_));
      ++plan_.step;
      sequence.position += static_cast<int64_t>(sequence.tokens.size());
      left -= static_cast<int64_t>(sequence.tokens.size());
    }
    return absl::OkStatus();
  }

  std::span<const float> last() const { return last_.values; }

 private:
  Decoder& decoder_;
  Communicator& ranks_;
  const BenchOptions& options_;
  StepPlan plan_;
  StepLogits last_;
};

absl::StatusOr<RankWeights> MakeWeights(const BenchOptions& options, const Checkpoint& checkpoint, const RankCut& cut) {
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return RandomRankWeights(checkpoint.spec, cut, options.seed, options.random_dtype);
  return LoadRankWeights(checkpoint, cut, LoadOptions{});
}

absl::Status Measure(const BenchOptions& options, Decoder& decoder, Communicator& ranks, int64_t blocks, BenchReport& report) {
  Sequence sequence(decoder, ranks, options, blocks);
  DROVER_RETURN_IF_ERROR(sequence.Advance(std::min<int64_t>(options.prefill_tokens, 16), options.max_step_tokens));  // warm up
  sequence.Rewind();
  Clock::time_point start = Clock::now();
  DROVER_RETURN_IF_ERROR(sequence.Advance(options.prefill_tokens, options.max_step_tokens));
  report.prefill_tokens_per_second = static_cast<double>(options.prefill_tokens) / Seconds(start);
  uint64_t hash = Hash(0xcbf29ce484222325, sequence.last());
  start = Clock::now();
  DROVER_RETURN_IF_ERROR(sequence.Advance(options.decode_tokens, 1));
  report.decode_tokens_per_second = static_cast<double>(options.decode_tokens) / Seconds(start);
  hash = Hash(hash, sequence.last());
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  report.logits_hash = text;
  return absl::OkStatus();
}

absl::Status MeasureBandwidth(const BenchOptions& options, Communicator& ranks, BenchReport& report) {
  ranks.SetDeadline(Clock::now() + options.step_limit);
  DROVER_RETURN_IF_ERROR(SumOverRanks(0, ranks).status());  // all start together
  DROVER_ASSIGN_OR_RETURN(const double own, MeasureReadBandwidth(options.threads, kReadBytes / ranks.size(), kReadPasses));
  DROVER_ASSIGN_OR_RETURN(const int64_t all, SumOverRanks(static_cast<int64_t>(own), ranks));
  report.read_bandwidth_bytes_per_second = static_cast<double>(all);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchReport> RunBench(const BenchOptions& options, Communicator& ranks) {
  DROVER_RETURN_IF_ERROR(Check(options));
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.model));
  const ModelSpec& spec = checkpoint.spec;
  const RankCut cut{{ranks.size(), ranks.size()}, ranks.rank()};
  DROVER_ASSIGN_OR_RETURN(RankWeights weights, MakeWeights(options, checkpoint, cut));
  const int64_t positions = options.prefill_tokens + options.decode_tokens;
  const int64_t blocks = (positions + kBlockTokens - 1) / kBlockTokens;
  const int64_t middle = options.prefill_tokens + options.decode_tokens / 2;
  const int64_t step_bytes = WeightBytesPerToken(spec, weights) + middle * KvBytesPerToken(spec, cut, sizeof(float));
  const DecoderSettings settings{.max_step_tokens = std::min(options.max_step_tokens, options.prefill_tokens), .max_sequences = 1,
                                 .kv_blocks = blocks, .block_tokens = kBlockTokens, .threads = options.threads, .isa = options.isa};
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder, Decoder::Create(spec, cut, std::move(weights), settings, ranks));

  BenchReport report{.model = checkpoint.name, .isa = options.isa == "best" ? BestIsaName() : options.isa,
                     .random_weights = checkpoint.form == CheckpointForm::kConfigOnly, .ranks = ranks.size(), .threads = options.threads,
                     .prefill_tokens = options.prefill_tokens, .decode_tokens = options.decode_tokens};
  ranks.SetDeadline(Clock::now() + options.step_limit);
  DROVER_ASSIGN_OR_RETURN(report.weight_bytes, SumOverRanks(decoder->weight_bytes(), ranks));
  DROVER_ASSIGN_OR_RETURN(report.bytes_per_decode_step, SumOverRanks(step_bytes, ranks));
  DROVER_RETURN_IF_ERROR(Measure(options, *decoder, ranks, blocks, report));
  DROVER_RETURN_IF_ERROR(MeasureBandwidth(options, ranks, report));
  report.read_bandwidth_share = static_cast<double>(report.bytes_per_decode_step) * report.decode_tokens_per_second /
                                report.read_bandwidth_bytes_per_second;
  return report;
}

std::string ToText(const BenchReport& report) {
  char text[1024];
  std::snprintf(text, sizeof text,
                "%s%s on %lld rank%s of %lld thread%s (%s)\n"
                "  prefill  %10.1f tokens/s over %lld tokens\n"
                "  decode   %10.1f tokens/s over %lld tokens\n"
                "  moved    %10.2f GB/s (%.1f MB a token), %.0f %% of the %.2f GB/s this machine reads\n"
                "  logits   %s\n",
                report.model.substr(0, 200).c_str(), report.random_weights ? " (random weights)" : "", static_cast<long long>(report.ranks),
                report.ranks == 1 ? "" : "s", static_cast<long long>(report.threads), report.threads == 1 ? "" : "s", report.isa.c_str(),
                report.prefill_tokens_per_second, static_cast<long long>(report.prefill_tokens), report.decode_tokens_per_second,
                static_cast<long long>(report.decode_tokens),
                static_cast<double>(report.bytes_per_decode_step) * report.decode_tokens_per_second / 1e9,
                static_cast<double>(report.bytes_per_decode_step) / 1e6, report.read_bandwidth_share * 100,
                report.read_bandwidth_bytes_per_second / 1e9, report.logits_hash.c_str());
  return text;
}

Json ToJson(const BenchReport& report) {
  return {{"model", report.model},
          {"random_weights", report.random_weights},
          {"ranks", report.ranks},
          {"threads", report.threads},
          {"isa", report.isa},
          {"prefill_tokens", report.prefill_tokens},
          {"decode_tokens", report.decode_tokens},
          {"prefill_tokens_per_second", report.prefill_tokens_per_second},
          {"decode_tokens_per_second", report.decode_tokens_per_second},
          {"weight_bytes", report.weight_bytes},
          {"bytes_per_decode_step", report.bytes_per_decode_step},
          {"read_bandwidth_bytes_per_second", report.read_bandwidth_bytes_per_second},
          {"read_bandwidth_share", report.read_bandwidth_share},
          {"logits_hash", report.logits_hash}};
}

}  // namespace drover
