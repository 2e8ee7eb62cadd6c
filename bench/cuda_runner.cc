// See cuda_runner.h.
#include "bench/cuda_runner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <numeric>
#include <random>
#include <set>

#include "kernels/cuda/device.h"

namespace drover::bench {
namespace {

constexpr int64_t kBlockTokens = 16;

// Two events on a stream.
class Stopwatch {
 public:
  explicit Stopwatch(CudaOps& ops) : ops_(ops) {
    for (cudaEvent_t& event : events_) ops_.device().Keep(cudaEventCreateWithFlags(&event, 0), "creating an event");
  }
  ~Stopwatch() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // How long `work` takes, which is `times` runs; of one run.
  absl::StatusOr<double> SecondsOf(const std::function<void()>& work, int64_t times) {
    float milliseconds = 0;
    CudaDevice& device = ops_.device();
    device.Keep(cudaEventRecord(events_[0], device.stream()), "recording an event");
    work();
    device.Keep(cudaEventRecord(events_[1], device.stream()), "recording an event");
    DROVER_RETURN_IF_ERROR(ops_.Finish());
    device.Keep(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "reading events");
    DROVER_RETURN_IF_ERROR(ops_.Finish());
    return std::max(static_cast<double>(milliseconds) * 1e-3, 1e-9) / static_cast<double>(times);
  }

 private:
  CudaOps& ops_;
  std::array<cudaEvent_t, 2> events_{};
};

class Runner {
 public:
  Runner(CudaOps& ops, const Cases& cases) : ops_(ops), cases_(cases), watch_(ops) {}

  absl::Status Prepare();
  absl::StatusOr<Entry> Copy();
  absl::StatusOr<Entry> Linear(const LinearCase& one, bool round_each_time);
  absl::StatusOr<Entry> Attend(const AttendCase& one);
  absl::StatusOr<Entry> Experts(const ExpertsCase& one);

 private:
  static constexpr int64_t kPatternBytes = 4 << 20;

  // Memory with random bytes that are small finite numbers in every form of values and scales.
  absl::StatusOr<AlignedBytes> Filled(int64_t size);
  absl::StatusOr<Tensor> Activations(int64_t rows, int64_t cols);
  absl::StatusOr<PackedWeight> WeightOf(const LinearCase& one);
  absl::Status FillExperts(const ExpertsCase& one, std::vector<FfnWeights>& experts);
  absl::StatusOr<std::span<const int32_t>> Choices(const std::vector<int32_t>& chosen);
  // Runs once to warm up, then as long as the case may take.
  absl::StatusOr<Timing> Measure(const std::function<void()>& work, int64_t times);
  // How many copies of `bytes` no cache holds.
  int64_t CopiesOf(int64_t bytes) const { return std::clamp<int64_t>(cases_.least_bytes / std::max<int64_t>(bytes, 1) + 1, 2, 64); }

  CudaOps& ops_;
  const Cases& cases_;
  Stopwatch watch_;
  AlignedBytes pattern_;
  std::vector<AlignedBytes> kept_;  // until the next case
  std::deque<std::vector<FfnWeights>> experts_;  // of all cases: an Ops knows them by where they lie
};

int64_t BytesOf(const PackedWeight& weight) { return weight.bytes.size() + weight.groups.scales.size() + weight.groups.zeros.size(); }

absl::Status Runner::Prepare() {
  std::vector<uint32_t> pattern(kPatternBytes / sizeof(uint32_t));
  std::mt19937 engine(1);
  for (uint32_t& word : pattern) word = (engine() & 0x9f9f9f9fu) | 0x20202020u;
  DROVER_ASSIGN_OR_RETURN(pattern_, ops_.memory().Allocate(kPatternBytes));
  ops_.memory().Upload(std::as_bytes(std::span(pattern)), pattern_.data());
  return absl::OkStatus();
}

absl::StatusOr<AlignedBytes> Runner::Filled(int64_t size) {
  DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, ops_.memory().Allocate(size));
  int64_t filled = std::min(size, kPatternBytes);
  ops_.memory().Copy({pattern_.data(), static_cast<size_t>(filled)}, bytes.data());
  for (; filled < size; filled = std::min(size, 2 * filled))
    ops_.memory().Copy({bytes.data(), static_cast<size_t>(std::min(filled, size - filled))}, bytes.data() + filled);
  return bytes;
}

absl::StatusOr<Tensor> Runner::Activations(int64_t rows, int64_t cols) {
  DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, Filled(rows * cols * static_cast<int64_t>(sizeof(float))));
  kept_.push_back(std::move(bytes));
  return Tensor{reinterpret_cast<float*>(kept_.back().data()), rows, cols};
}

absl::StatusOr<PackedWeight> Runner::WeightOf(const LinearCase& one) {
  PackedWeight weight{.dtype = one.form.dtype, .rows = one.rows, .cols = one.cols};
  Groups& groups = weight.groups;
  if (one.form.group_cols > 0) {
    groups.rows = 1;
    groups.cols = one.form.group_cols;
    groups.across = one.cols / one.form.group_cols;
    groups.scale_type = one.form.scales;
    DROVER_ASSIGN_OR_RETURN(groups.scales, Filled(one.rows * groups.across * Info(one.form.scales).bytes));
  }
  if (one.form.zeros) {
    DROVER_ASSIGN_OR_RETURN(groups.zeros, Filled(one.rows * groups.across));
  }
  weight.row_bytes = weight.stored_cols() / Info(one.form.dtype).values * Info(one.form.dtype).bytes;
  DROVER_ASSIGN_OR_RETURN(weight.bytes, Filled(one.rows * weight.row_bytes));
  return weight;
}

absl::StatusOr<Timing> Runner::Measure(const std::function<void()>& work, int64_t times) {
  constexpr double kRunsMin = 3, kRunsMax = 50;
  std::vector<double> seconds;
  work();
  DROVER_RETURN_IF_ERROR(ops_.Finish());
  DROVER_ASSIGN_OR_RETURN(const double first, watch_.SecondsOf(work, times));
  const double runs = std::clamp(cases_.seconds / (first * static_cast<double>(times)), kRunsMin, kRunsMax);
  for (int run = 0; run < static_cast<int>(runs); ++run) {
    DROVER_ASSIGN_OR_RETURN(const double took, watch_.SecondsOf(work, times));
    seconds.push_back(took);
  }
  return Summarise(std::move(seconds));
}

absl::StatusOr<Entry> Runner::Copy() {
  Entry entry{.what = Cat("copy of ", cases_.copy_bytes, " bytes"), .work = {.bytes = 2.0 * static_cast<double>(cases_.copy_bytes)}};
  DROVER_ASSIGN_OR_RETURN(const AlignedBytes from, Filled(cases_.copy_bytes));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes to, Filled(cases_.copy_bytes));
  const auto work = [&] { ops_.memory().Copy({from.data(), static_cast<size_t>(from.size())}, to.data()); };
  DROVER_ASSIGN_OR_RETURN(entry.timing, Measure(work, 1));
  return entry;
}

absl::StatusOr<Entry> Runner::Linear(const LinearCase& one, bool round_each_time) {
  kept_.clear();
  std::vector<PackedWeight> weights(1);
  DROVER_ASSIGN_OR_RETURN(weights[0], WeightOf(one));
  const int64_t bytes = BytesOf(weights[0]);
  while (static_cast<int64_t>(weights.size()) < CopiesOf(bytes)) {
    DROVER_ASSIGN_OR_RETURN(PackedWeight copy, WeightOf(one));
    weights.push_back(std::move(copy));
  }
  // Two activations in turn: what is kept of one is not there for the next.
  std::array<Tensor, 2> x;
  DROVER_ASSIGN_OR_RETURN(x[0], Activations(one.tokens, one.cols));
  DROVER_ASSIGN_OR_RETURN(x[1], Activations(one.tokens, one.cols));
  DROVER_ASSIGN_OR_RETURN(const Tensor y, Activations(one.tokens, one.rows));
  Entry entry{.what = one.Name()};
  entry.work.bytes = static_cast<double>(bytes) + 4.0 * static_cast<double>(one.tokens * (one.cols + one.rows));
  entry.work.flops = 2.0 * static_cast<double>(one.rows) * static_cast<double>(one.cols * one.tokens);
  const auto work = [&] {
    for (size_t i = 0; i < weights.size(); ++i) ops_.Linear(weights[i], {}, x[round_each_time ? i % 2 : 0], y);
  };
  DROVER_ASSIGN_OR_RETURN(entry.timing, Measure(work, static_cast<int64_t>(weights.size())));
  return entry;
}

// Layers in turn, each with keys and values of its own and the same blocks, as a model has them.
absl::StatusOr<Entry> Runner::Attend(const AttendCase& one) {
  kept_.clear();
  const int64_t blocks_each = (one.context + kBlockTokens - 1) / kBlockTokens;
  KvLayer like{.block_tokens = kBlockTokens, .kv_heads = one.kv_heads, .head_dim = one.head_dim, .type = DType::kBF16};
  const int64_t half = one.batch * blocks_each * kBlockTokens * like.token_stride() * like.element_bytes();
  const int64_t layers = one.queries > 1 ? 2 : CopiesOf(2 * half);
  DROVER_ASSIGN_OR_RETURN(AlignedBytes cache, Filled(2 * half * layers));
  DROVER_ASSIGN_OR_RETURN(const Tensor q, Activations(one.batch * one.queries, one.heads * one.head_dim));
  DROVER_ASSIGN_OR_RETURN(const Tensor y, Activations(q.rows, one.heads * one.ValueDim()));
  std::vector<int32_t> blocks(static_cast<size_t>(one.batch * blocks_each));
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int32_t>(i);
  std::ranges::shuffle(blocks, std::mt19937(2));
  std::vector<SequenceRows> sequences;
  for (int64_t i = 0; i < one.batch; ++i)
    sequences.push_back({i * one.queries, one.queries, one.context - one.queries,
                         std::span(blocks).subspan(static_cast<size_t>(i * blocks_each), static_cast<size_t>(blocks_each))});
  const AttentionShape shape{.heads = one.heads, .kv_heads = one.kv_heads, .group = one.heads / one.kv_heads, .head_dim = one.head_dim,
                             .scale = 1 / std::sqrt(static_cast<float>(one.head_dim)), .value_dim = one.value_dim};
  ops_.Begin(sequences);
  const auto work = [&] {
    for (int64_t layer = 0; layer < layers; ++layer) {
      KvLayer kv = like;
      kv.keys = cache.data() + 2 * half * layer;
      kv.values = one.value_dim > 0 ? kv.keys + (one.head_dim - one.value_dim) * like.element_bytes() : kv.keys + half;
      ops_.Attend(q, sequences, kv, shape, y);
    }
  };
  Entry entry{.what = one.Name()};
  // Of the queries of a prompt, each sees the keys up to its own.
  const double keys = static_cast<double>(one.queries) * static_cast<double>(one.context - one.queries) +
                      0.5 * static_cast<double>(one.queries) * static_cast<double>(one.queries + 1);
  entry.work.flops = 2.0 * static_cast<double>(one.batch) * keys * static_cast<double>(one.heads * (one.head_dim + one.ValueDim()));
  entry.work.bytes = (one.value_dim > 0 ? 1.0 : 2.0) * static_cast<double>(one.batch * one.context * like.token_stride() * like.element_bytes()) +
                     4.0 * static_cast<double>(q.size() + y.size());
  DROVER_ASSIGN_OR_RETURN(entry.timing, Measure(work, layers));
  return entry;
}

absl::Status Runner::FillExperts(const ExpertsCase& one, std::vector<FfnWeights>& experts) {
  for (FfnWeights& expert : experts) {
    DROVER_ASSIGN_OR_RETURN(expert.up, WeightOf({one.form, one.columns, one.hidden}));
    DROVER_ASSIGN_OR_RETURN(expert.gate, WeightOf({one.form, one.columns, one.hidden}));
    DROVER_ASSIGN_OR_RETURN(expert.down, WeightOf({one.form, one.hidden, one.columns}));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::span<const int32_t>> Runner::Choices(const std::vector<int32_t>& chosen) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(chosen));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes near, ops_.memory().Allocate(static_cast<int64_t>(bytes.size())));
  ops_.memory().Upload(bytes, near.data());
  kept_.push_back(std::move(near));
  return std::span(reinterpret_cast<const int32_t*>(kept_.back().data()), chosen.size());
}

// Tokens that choose anew in each call, so that no cache holds what is chosen.
absl::StatusOr<Entry> Runner::Experts(const ExpertsCase& one) {
  constexpr int64_t kCalls = 8;
  kept_.clear();
  if (!experts_.empty())
    for (FfnWeights& expert : experts_.back()) expert = {};
  std::vector<FfnWeights>& experts = experts_.emplace_back(static_cast<size_t>(one.count));
  DROVER_RETURN_IF_ERROR(FillExperts(one, experts));
  const int64_t pairs = one.tokens * one.active;
  std::vector<int32_t> chosen, all(static_cast<size_t>(one.count));
  std::iota(all.begin(), all.end(), 0);
  std::mt19937 engine(3);
  int64_t read = 0;  // experts, over all calls
  for (int64_t call = 0; call < kCalls; ++call) {
    std::set<int32_t> distinct;
    for (int64_t t = 0; t < one.tokens; ++t) {
      std::ranges::shuffle(all, engine);
      chosen.insert(chosen.end(), all.begin(), all.begin() + one.active);
      distinct.insert(all.begin(), all.begin() + one.active);
    }
    read += static_cast<int64_t>(distinct.size());
  }
  DROVER_ASSIGN_OR_RETURN(const std::span<const int32_t> choices, Choices(chosen));
  DROVER_ASSIGN_OR_RETURN(const Tensor weights, Activations(one.tokens, one.active));
  DROVER_ASSIGN_OR_RETURN(const Tensor x, Activations(one.tokens, one.hidden));
  DROVER_ASSIGN_OR_RETURN(const Tensor out, Activations(one.tokens, one.hidden));
  DROVER_ASSIGN_OR_RETURN(const Tensor room, Activations(1, ops_.ExpertRoom(one.tokens, one.active, one.hidden, one.columns)));
  const ExpertSet set{.own = experts, .columns = one.columns};
  const auto work = [&] {
    for (int64_t call = 0; call < kCalls; ++call)
      ops_.Experts(set, choices.subspan(static_cast<size_t>(call * pairs), static_cast<size_t>(pairs)), weights.all(), x, room.all(), out);
  };
  Entry entry{.what = one.Name()};
  const int64_t bytes = BytesOf(experts[0].up) + BytesOf(experts[0].gate) + BytesOf(experts[0].down);
  entry.work.bytes = static_cast<double>(bytes) * static_cast<double>(read) / kCalls + 12.0 * static_cast<double>(x.size());
  entry.work.flops = 6.0 * static_cast<double>(pairs) * static_cast<double>(one.hidden * one.columns);
  DROVER_ASSIGN_OR_RETURN(entry.timing, Measure(work, kCalls));
  return entry;
}

// What there is no memory for is told; other errors end it all.
absl::Status Add(absl::StatusOr<Entry> entry, const std::string& what, Found& found) {
  if (absl::IsResourceExhausted(entry.status()))
    found.entries.push_back({.what = what, .missing = std::string(entry.status().message())});
  else if (!entry.ok())
    return entry.status();
  else
    found.entries.push_back(*std::move(entry));
  return absl::OkStatus();
}

// Attention by FlashInfer's kernels, where the build has them.
absl::Status RunFlashInfer(const Cases& cases, int device, Found& found) {
  absl::StatusOr<std::unique_ptr<CudaOps>> ops = CudaOps::Create({.device = device, .flashinfer = true});
  if (absl::IsUnimplemented(ops.status())) return absl::OkStatus();
  DROVER_RETURN_IF_ERROR(ops.status());
  Runner runner(**ops, cases);
  DROVER_RETURN_IF_ERROR(runner.Prepare());
  for (const AttendCase& one : cases.attend) {
    absl::StatusOr<Entry> entry = runner.Attend(one);
    const std::string what = one.Name() + ", FlashInfer";
    if (entry.ok()) entry->what = what;
    DROVER_RETURN_IF_ERROR(Add(std::move(entry), what, found));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Found> RunOnCuda(const Cases& cases, int device) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<CudaOps> ops, CudaOps::Create({.device = device, .compute = CudaCompute::kBF16,
                                                                         .tokens = cases.TokensMax(), .cols = cases.ColsMax()}));
  Found found;
  Runner runner(*ops, cases);
  DROVER_RETURN_IF_ERROR(runner.Prepare());
  DROVER_ASSIGN_OR_RETURN(Entry copy, runner.Copy());
  found.limits.bytes_per_second = copy.work.bytes / copy.timing.median;
  DROVER_ASSIGN_OR_RETURN(Entry peak, runner.Linear(cases.peak, false));
  found.limits.flops_per_second = peak.work.flops / peak.timing.median;
  found.entries = {std::move(copy), std::move(peak)};
  for (const LinearCase& one : cases.linear) {
    DROVER_RETURN_IF_ERROR(Add(runner.Linear(one, true), one.Name(), found));
  }
  for (const AttendCase& one : cases.attend) {
    DROVER_RETURN_IF_ERROR(Add(runner.Attend(one), one.Name(), found));
  }
  for (const ExpertsCase& one : cases.experts) {
    DROVER_RETURN_IF_ERROR(Add(runner.Experts(one), one.Name(), found));
  }
  if (cases.flashinfer) DROVER_RETURN_IF_ERROR(RunFlashInfer(cases, device, found));
  return found;
}

}  // namespace drover::bench
