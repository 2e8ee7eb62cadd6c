// See bench.h.
#include "worker/bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <utility>

#include "models/checkpoint/checkpoint.h"
#include "worker/devices.h"
#include "worker/model/decoder.h"
#include "worker/weights/load.h"
#include "worker/weights/random.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kBlockTokens = 16;
constexpr int64_t kReadBytes = int64_t{512} << 20;  // of all ranks together: beyond the caches
constexpr int64_t kReadPasses = 4;
constexpr int64_t kTokensMax = 1 << 20, kBatchMax = 4096;

double Seconds(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

absl::Status Check(const BenchOptions& options) {
  if (options.prefill_tokens < 1 || options.prefill_tokens > kTokensMax)
    return InvalidArgument("prefill: found ", options.prefill_tokens, ", expected 1 to ", kTokensMax);
  if (options.decode_tokens < 1 || options.decode_tokens > kTokensMax)
    return InvalidArgument("decode: found ", options.decode_tokens, ", expected 1 to ", kTokensMax);
  if (options.batch < 1 || options.batch > kBatchMax) return InvalidArgument("batch: found ", options.batch, ", expected 1 to ", kBatchMax);
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
int64_t Bytes(const FfnWeights& ffn) { return Bytes(ffn.gate) + Bytes(ffn.up) + Bytes(ffn.pairs) + Bytes(ffn.down); }

// Of `count` experts, how many `tokens` tokens with `active` each meet on average, when every choice is as likely.
double ExpertsMet(int64_t count, int64_t active, int64_t tokens) {
  const double share = static_cast<double>(active) / static_cast<double>(count);
  return static_cast<double>(count) * (1 - std::pow(1 - share, static_cast<double>(tokens)));
}

// Bytes of weights that a step of `tokens` tokens reads on this rank.
int64_t WeightBytesPerStep(const ModelSpec& spec, const RankWeights& weights, int64_t tokens) {
  int64_t bytes = Bytes(spec.tied_embeddings ? weights.embedding : weights.output);
  for (int64_t i = 0; i < spec.layers(); ++i) {
    const LayerWeights& layer = weights.layers[static_cast<size_t>(i)];
    for (const PackedWeight* weight : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.q_down, &layer.q_up, &layer.kv_down, &layer.kv_up})
      bytes += Bytes(*weight);
    bytes += Bytes(layer.ffn) + Bytes(layer.shared) + Bytes(layer.shared_switch);
    const std::optional<Experts>& experts = spec.layer(i).ffn.experts;
    if (!experts) continue;
    int64_t routed = 0;
    for (const FfnWeights& expert : layer.experts) routed += Bytes(expert);
    const double share = ExpertsMet(experts->count, experts->active, tokens) / static_cast<double>(experts->count);
    bytes += Bytes(layer.router) + static_cast<int64_t>(static_cast<double>(routed) * share);
  }
  return bytes;
}

uint64_t Hash(uint64_t hash, std::span<const float> values) {
  for (const std::byte byte : std::as_bytes(values)) hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001b3;
  return hash;
}

// Sequences of equal length on a decoder, with ids that depend on their position alone.
class Sequences {
 public:
  Sequences(Decoder& decoder, const BenchOptions& options, int64_t blocks) : decoder_(decoder), options_(options) {
    for (int64_t s = 0; s < options.batch; ++s) {
      StepSequence sequence{.id = static_cast<uint64_t>(s + 1), .position = 0, .logits = LogitsWanted::kLast};
      sequence.blocks.resize(static_cast<size_t>(blocks));
      std::iota(sequence.blocks.begin(), sequence.blocks.end(), static_cast<int32_t>(s * blocks));
      all_.push_back(std::move(sequence));
    }
  }

  void Rewind(int64_t position) {
    for (StepSequence& sequence : all_) sequence.position = position;
  }

  // Whether tokens are drawn where the logits lie, as a device's engine has it; else rows of logits come to the host.
  void set_draws(bool draws) {
    for (StepSequence& sequence : all_) sequence.draw = draws ? std::optional(TokenDraw{.rule = {.uniform = 0.5}}) : std::nullopt;
  }

  // The next `count` tokens of one sequence after the other, at most `at_once` a step.
  absl::Status Prefill(int64_t count, int64_t at_once) {
    for (StepSequence& sequence : all_) {
      for (int64_t left = count; left > 0; left -= std::min(left, at_once))
        DROVER_RETURN_IF_ERROR(Advance(std::span(&sequence, 1), std::min(left, at_once)));
    }
    return absl::OkStatus();
  }

  // `count` steps with the next token of every sequence.
  absl::Status Decode(int64_t count) {
    for (int64_t i = 0; i < count; ++i) DROVER_RETURN_IF_ERROR(Advance(all_, 1));
    return absl::OkStatus();
  }

  // Of the gaps between steps since the last call, the middle one; 0 without any.
  double TakeMiddleGap() {
    std::vector<double> gaps = std::exchange(gaps_, {});
    if (gaps.empty()) return 0;
    const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
    std::ranges::nth_element(gaps, middle);
    return *middle;
  }

  // The last row of logits.
  std::span<const float> last() const {
    const size_t vocab = static_cast<size_t>(last_.vocab);
    return std::span<const float>(last_.values).last(std::min(vocab, last_.values.size()));
  }

 private:
  absl::Status Advance(std::span<StepSequence> sequences, int64_t tokens) {
    StepPlan plan{++step_, {}};
    for (StepSequence& sequence : sequences) {
      sequence.tokens.clear();
      for (int64_t i = 0; i < tokens; ++i)
        sequence.tokens.push_back(static_cast<int32_t>(((sequence.position + i) * 7919 + 13) % decoder_.spec().vocab));
      plan.sequences.push_back(sequence);
    }
    DROVER_ASSIGN_OR_RETURN(last_, decoder_.Run(plan, Clock::now() + options_.step_limit));
    if (last_.gap_seconds) gaps_.push_back(*last_.gap_seconds);
    for (StepSequence& sequence : sequences) sequence.position += tokens;
    return absl::OkStatus();
  }

  Decoder& decoder_;
  const BenchOptions& options_;
  std::vector<StepSequence> all_;
  uint64_t step_ = 0;
  StepLogits last_;
  std::vector<double> gaps_;
};

absl::StatusOr<RankWeights> MakeWeights(const BenchOptions& options, const Checkpoint& checkpoint, const RankCut& cut, Ops& ops) {
  if (checkpoint.form == CheckpointForm::kConfigOnly)
    return RandomRankWeights(checkpoint.spec, cut, options.seed, options.random_dtype, &ops);
  return LoadRankWeights(checkpoint, cut, {.memory = &ops.memory()});
}

absl::Status Measure(const BenchOptions& options, Decoder& decoder, int64_t blocks, BenchReport& report) {
  Sequences sequences(decoder, options, blocks);
  // Warm up. A device takes its libraries' ways and loads its kernels at the first step of a length.
  DROVER_RETURN_IF_ERROR(sequences.Prefill(decoder.on_device() ? options.prefill_tokens : std::min<int64_t>(options.prefill_tokens, 16), options.max_step_tokens));
  sequences.Rewind(0);
  Clock::time_point start = Clock::now();
  DROVER_RETURN_IF_ERROR(sequences.Prefill(options.prefill_tokens, options.max_step_tokens));
  report.prefill_tokens_per_second = static_cast<double>(options.batch * options.prefill_tokens) / Seconds(start);
  uint64_t hash = Hash(0xcbf29ce484222325, sequences.last());
  sequences.set_draws(decoder.on_device());
  // Warm up at the same length: the second step of a shape is recorded, the third replayed.
  DROVER_RETURN_IF_ERROR(sequences.Decode(std::min<int64_t>(options.decode_tokens, 3)));
  sequences.Rewind(options.prefill_tokens);
  sequences.TakeMiddleGap();
  start = Clock::now();
  DROVER_RETURN_IF_ERROR(sequences.Decode(options.decode_tokens));
  report.decode_tokens_per_second = static_cast<double>(options.batch * options.decode_tokens) / Seconds(start);
  report.host_gap_seconds = sequences.TakeMiddleGap();
  // The last step once more, for its logits.
  sequences.set_draws(false);
  sequences.Rewind(options.prefill_tokens + options.decode_tokens - 1);
  DROVER_RETURN_IF_ERROR(sequences.Decode(1));
  hash = Hash(hash, sequences.last());
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  report.logits_hash = text;
  return absl::OkStatus();
}

// The bytes to meet by travel over the host's communicator: from rank 0, and first how many they are.
absl::StatusOr<RankPeers> Meet(const Device& device, const DevicePlace& place, const Grid& grid, Communicator& host, Clock::time_point deadline) {
  host.SetDeadline(deadline);
  if (device.meet == nullptr) return MeetPeers(grid, host);
  std::string meeting;
  if (MeetsByItself(place)) {
    const absl::StatusOr<std::string> made = place.rank == 0 ? MakeMeeting(place) : absl::StatusOr<std::string>("");
    uint64_t size = made.ok() ? made->size() : 0;
    DROVER_RETURN_IF_ERROR(host.Broadcast(std::as_writable_bytes(std::span(&size, 1)), 0));
    DROVER_RETURN_IF_ERROR(made.status());
    if (size == 0) return Unavailable("rank 0 has made no way for the ranks to meet");
    meeting = *made;
    meeting.resize(size);
    DROVER_RETURN_IF_ERROR(host.Broadcast(std::as_writable_bytes(std::span(meeting)), 0));
  }
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Communicator> ranks, device.meet(meeting, deadline));
  return MeetPeers(grid, std::move(ranks));
}

absl::Status MeasureBandwidth(const BenchOptions& options, Communicator& ranks, BenchReport& report) {
  ranks.SetDeadline(Clock::now() + options.step_limit);
  DROVER_RETURN_IF_ERROR(SumOverRanks(0, ranks).status());  // all start together
  DROVER_ASSIGN_OR_RETURN(const double own, MeasureDevice(options.device, options.threads, kReadBytes / ranks.size(), kReadPasses));
  DROVER_ASSIGN_OR_RETURN(const int64_t all, SumOverRanks(static_cast<int64_t>(own), ranks));
  report.read_bandwidth_bytes_per_second = static_cast<double>(all);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<BenchReport> RunBench(const BenchOptions& options, Communicator& host) {
  DROVER_RETURN_IF_ERROR(Check(options));
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.model));
  const ModelSpec& spec = checkpoint.spec;
  const RankCut cut{{host.size(), host.size()}, host.rank()};
  const int64_t positions = options.prefill_tokens + options.decode_tokens;
  const int64_t blocks = (positions + kBlockTokens - 1) / kBlockTokens;
  const int64_t middle = options.prefill_tokens + options.decode_tokens / 2;
  const DecoderSettings settings{.max_step_tokens = std::max(std::min(options.max_step_tokens, options.prefill_tokens), options.batch),
                                 .max_sequences = options.batch, .kv_blocks = options.batch * blocks, .block_tokens = kBlockTokens,
                                 .kv_type = options.kv_type};
  const OpsOptions ops{.threads = options.threads, .isa = options.isa, .bounds = BoundsOf(spec, settings)};
  const DevicePlace place{.device = options.device, .transport = options.transport, .attention = options.attention, .rank = host.rank(), .ranks = host.size()};
  DROVER_ASSIGN_OR_RETURN(Device device, OpenDevice({.place = place, .compute = options.compute, .ops = ops, .host = &host}));
  DROVER_ASSIGN_OR_RETURN(RankPeers peers, Meet(device, place, cut.grid, host, Clock::now() + options.step_limit));
  DROVER_ASSIGN_OR_RETURN(RankWeights weights, MakeWeights(options, checkpoint, cut, *device.ops));
  const int64_t step_bytes = WeightBytesPerStep(spec, weights, options.batch) +
                             options.batch * middle * KvBytesPerToken(spec, cut, Info(options.kv_type).bytes);
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                          Decoder::Create(spec, cut, settings, std::move(weights), {std::move(device.ops), std::move(peers)}));

  const std::string isa = options.isa == "best" ? BestIsaName() : options.isa;
  BenchReport report{.model = checkpoint.name, .device = options.device, .isa = options.device == "cpu" ? isa : "",
                     .compute = options.compute, .kv = std::string(Name(options.kv_type)), .transport = options.transport,
                     .attention = options.attention,
                     .random_weights = checkpoint.form == CheckpointForm::kConfigOnly, .ranks = host.size(), .threads = options.threads,
                     .batch = options.batch, .prefill_tokens = options.prefill_tokens, .decode_tokens = options.decode_tokens};
  host.SetDeadline(Clock::now() + options.step_limit);
  DROVER_ASSIGN_OR_RETURN(report.weight_bytes, SumOverRanks(decoder->weight_bytes(), host));
  DROVER_ASSIGN_OR_RETURN(report.bytes_per_decode_step, SumOverRanks(step_bytes, host));
  DROVER_RETURN_IF_ERROR(Measure(options, *decoder, blocks, report));
  decoder.reset();  // the measure below wants memory of its own
  DROVER_RETURN_IF_ERROR(MeasureBandwidth(options, host, report));
  const double steps_per_second = report.decode_tokens_per_second / static_cast<double>(options.batch);
  report.read_bandwidth_share = static_cast<double>(report.bytes_per_decode_step) * steps_per_second / report.read_bandwidth_bytes_per_second;
  return report;
}

std::string ToText(const BenchReport& report) {
  char text[1024];
  const auto number = [](int64_t value) { return static_cast<long long>(value); };
  const auto many = [](int64_t value) { return value == 1 ? "" : "s"; };
  const double steps_per_second = report.decode_tokens_per_second / static_cast<double>(report.batch);
  const std::string where = report.isa.empty() ? report.device : Cat(report.threads, " thread", many(report.threads), " (", report.isa, ")");
  std::snprintf(text, sizeof text,
                "%s%s on %lld rank%s of %s, %lld sequence%s at a time; compute %s, kv %s\n"
                "  prefill  %10.1f tokens/s over %lld tokens each\n"
                "  decode   %10.1f tokens/s over %lld tokens each\n"
                "  moved    %10.2f GB/s (%.1f MB a step), %.0f %% of the %.2f GB/s read here\n"
                "  gap      %10.1f us between two steps\n"
                "  logits   %s\n",
                report.model.substr(0, 200).c_str(), report.random_weights ? " (random weights)" : "", number(report.ranks), many(report.ranks),
                where.c_str(), number(report.batch), many(report.batch), report.compute.c_str(), report.kv.c_str(),
                report.prefill_tokens_per_second, number(report.prefill_tokens), report.decode_tokens_per_second,
                number(report.decode_tokens), static_cast<double>(report.bytes_per_decode_step) * steps_per_second / 1e9,
                static_cast<double>(report.bytes_per_decode_step) / 1e6, report.read_bandwidth_share * 100,
                report.read_bandwidth_bytes_per_second / 1e9, report.host_gap_seconds * 1e6, report.logits_hash.c_str());
  return text;
}

Json ToJson(const BenchReport& report) {
  return {{"model", report.model},
          {"random_weights", report.random_weights},
          {"ranks", report.ranks},
          {"threads", report.threads},
          {"device", report.device},
          {"isa", report.isa},
          {"compute", report.compute},
          {"kv", report.kv},
          {"transport", report.transport},
          {"attention", report.attention},
          {"batch", report.batch},
          {"prefill_tokens", report.prefill_tokens},
          {"decode_tokens", report.decode_tokens},
          {"prefill_tokens_per_second", report.prefill_tokens_per_second},
          {"decode_tokens_per_second", report.decode_tokens_per_second},
          {"host_gap_seconds", report.host_gap_seconds},
          {"weight_bytes", report.weight_bytes},
          {"bytes_per_decode_step", report.bytes_per_decode_step},
          {"read_bandwidth_bytes_per_second", report.read_bandwidth_bytes_per_second},
          {"read_bandwidth_share", report.read_bandwidth_share},
          {"logits_hash", report.logits_hash}};
}

}  // namespace drover
