// Experts: the pairs (token, choice) are sorted by own expert on the device, one launch or two a matrix compute all experts, and each token
// adds up what its experts gave. Nothing about who chose whom reaches the host.
#include "common/check.h"
#include "kernels/cuda/bf16.cuh"
#include "kernels/cuda/expert_products.h"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/tiles.h"
#include "kernels/room.h"

namespace drover {
namespace cuda {
namespace {

constexpr int64_t kExpertsMax = 2048;  // on a rank: one number each in shared memory
constexpr int64_t kPairsMax = 8192;    // sorted at a time; what follows is sized by it

template <class Value>
int64_t Stride(int64_t cols) {
  return std::is_same_v<Value, float> ? cols : RoundedStride(cols);
}
// What rows in either form take at most.
int64_t FloatsFor(int64_t rows, int64_t cols) { return rows * std::max(cols, Stride<uint16_t>(cols) / 2); }

// A piece of the tokens with `active` choices each, and what is made of it: the pairs sorted by own expert.
struct Sorted {
  int32_t* total = nullptr;        // rows: pairs with an own expert
  ExpertBatch* batches = nullptr;  // the rows of each expert, cut
  int32_t* places = nullptr;       // of each row, what it reads
  int32_t* rows = nullptr;         // of each pair; -1 where another rank has the expert
};
struct SortTask {
  const int32_t* experts;
  int32_t pairs, first, count;  // own experts are [first, first + count)
  int32_t reads;                // pair i reads row i / reads
  int32_t batch_rows, batches_max;
  Sorted sorted;
};

// In each thread the sum of `mine` over the threads before it; `room` holds a value a thread.
__device__ inline int32_t SumBefore(int32_t mine, int32_t* room) {
  room[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned step = 1; step < blockDim.x; step *= 2) {
    const int32_t other = threadIdx.x >= step ? room[threadIdx.x - step] : 0;
    __syncthreads();
    room[threadIdx.x] += other;
    __syncthreads();
  }
  return room[threadIdx.x] - mine;
}

// Cuts the rows of this thread's share of the experts into batches, and leaves in counts[e] where the rows of expert e begin.
__device__ inline void CutIntoBatches(const SortTask& task, int32_t* counts) {
  __shared__ int32_t room[kThreads], batches_made;
  const int32_t each = (task.count + kThreads - 1) / kThreads, begin = min(each * static_cast<int32_t>(threadIdx.x), task.count);
  const int32_t end = min(begin + each, task.count);
  int32_t rows = 0, batches = 0;
  for (int32_t e = begin; e < end; ++e) {
    rows += counts[e];
    batches += (counts[e] + task.batch_rows - 1) / task.batch_rows;
  }
  int32_t row = SumBefore(rows, room), batch = SumBefore(batches, room);
  for (int32_t e = begin; e < end; ++e) {
    const int32_t count = counts[e];
    for (int32_t i = 0; i < count; i += task.batch_rows)
      task.sorted.batches[batch++] = {e, row + i, min(task.batch_rows, count - i), count};
    counts[e] = row;
    row += count;
  }
  if (threadIdx.x == kThreads - 1) {
    *task.sorted.total = row;
    batches_made = batch;
  }
  __syncthreads();
  for (int32_t i = batches_made + static_cast<int32_t>(threadIdx.x); i < task.batches_max; i += kThreads) task.sorted.batches[i] = {};
}

// One block sorts. Rows of one expert come in any order: no row's result depends on its place.
__device__ inline void Sort(const SortTask& task, int32_t* counts) {
  for (int32_t e = threadIdx.x; e < task.count; e += kThreads) counts[e] = 0;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < task.pairs; i += kThreads) {
    const int32_t own = task.experts[i] - task.first;
    if (own >= 0 && own < task.count) atomicAdd(&counts[own], 1);
  }
  __syncthreads();
  CutIntoBatches(task, counts);
  for (int32_t i = threadIdx.x; i < task.pairs; i += kThreads) {
    const int32_t own = task.experts[i] - task.first;
    task.sorted.rows[i] = -1;
    if (own < 0 || own >= task.count) continue;
    const int32_t at = atomicAdd(&counts[own], 1);
    task.sorted.places[at] = i / task.reads;
    task.sorted.rows[i] = at;
  }
}

// What experts read where it is not x itself: x rounded, or each row of x times the weights of its pairs.
template <class Value>
struct Scaled {
  const float* x;
  const float* factors;  // null: 1
  int64_t cols, stride;
  int32_t active;  // rows here for one of x
  Value* to;

  __device__ void operator()(int64_t i) const {
    const int64_t row = i / cols, c = i % cols;
    const float value = x[row / active * cols + c];
    Store(factors == nullptr ? value : factors[row] * value, to + row * stride + c);
  }
};

// The first block sorts while the others make `values` values.
template <class F>
__global__ void __launch_bounds__(kThreads) SortPairs(const SortTask task, int64_t values, F f) {
  extern __shared__ float shared[];
  if (blockIdx.x == 0) return Sort(task, reinterpret_cast<int32_t*>(shared));
  const int64_t first = int64_t{blockIdx.x - 1} * kThreads + threadIdx.x, step = int64_t{gridDim.x - 1} * kThreads;
  for (int64_t i = first; i < values; i += step) f(i);
}

template <class F>
void LaunchSort(CudaDevice& device, const SortTask& task, int64_t values, const F& f) {
  constexpr int64_t kBlocksMax = 1 << 12;
  const unsigned blocks = 1 + Blocks(std::min(values, kBlocksMax * kThreads), kThreads);
  SortPairs<F><<<blocks, kThreads, static_cast<size_t>(task.count) * sizeof(int32_t), device.stream()>>>(task, values, f);
  device.Launched("Experts");
}

// The values before the down matrix, over the rows that there are: `total` of them, known to the device alone.
template <class Value>
struct Inner {
  const int32_t* total;
  int64_t cols, stride;  // of what is written
  GateKind kind;
  bool gated, pairs;
  float alpha, limit;
  const float *up, *gate;  // or gate and up alternating in `up`
  Value* to;

  __device__ void operator()(int64_t i) const {
    if (i >= *total * cols) return;
    float value = 0;
    if (pairs)
      value = ClampedPair(alpha, limit, up[2 * i], up[2 * i + 1]);
    else
      value = gated ? Activated(kind, gate[i]) * up[i] : Activated(kind, up[i]);
    Store(value, to + i / cols * stride + i % cols);
  }
};

// out[t] ← out[t] + Σ_j weights[t,j]·y[row of (t,j)] over own experts; without weights they count 1.
struct Combined {
  const int32_t* rows;
  const float *weights, *y;
  float* out;
  int64_t cols;
  int32_t active;
  __device__ void operator()(int64_t i) const {
    const int64_t token = i / cols, c = i % cols;
    float sum = out[i];
    for (int64_t pair = token * active; pair < (token + 1) * active; ++pair)
      if (rows[pair] >= 0) sum = fmaf(weights == nullptr ? 1 : weights[pair], y[rows[pair] * cols + c], sum);
    out[i] = sum;
  }
};

int64_t TokensAtOnce(int64_t active) { return std::max<int64_t>(1, kPairsMax / std::max<int64_t>(active, 1)); }

int64_t BatchFloats(int64_t batches) { return batches * static_cast<int64_t>(sizeof(ExpertBatch) / sizeof(float)); }

Sorted TakeSorted(Room& room, int64_t pairs, int64_t batches) {
  const auto ints = [&room](int64_t n) { return reinterpret_cast<int32_t*>(room.Take(1, n).data); };
  return {ints(1), reinterpret_cast<ExpertBatch*>(room.Take(1, BatchFloats(batches)).data), ints(pairs), ints(pairs)};
}

}  // namespace
}  // namespace cuda

int64_t CudaOps::ExpertRoom(int64_t tokens, int64_t active, int64_t hidden, int64_t columns) const {
  const int64_t pairs = std::min(tokens, cuda::TokensAtOnce(active)) * active;
  const auto rounded = [](int64_t floats) { return Room::Rounded(floats); };
  const int64_t sorted = rounded(1) + rounded(cuda::BatchFloats(cuda::BatchesMax(pairs, cuda::kExpertsMax, cuda::kBatchRowsMin))) + 2 * rounded(pairs);
  return sorted + 2 * rounded(pairs * columns) + rounded(cuda::FloatsFor(pairs, columns)) + rounded(cuda::FloatsFor(pairs, hidden));
}

// Value: in which experts read, float or the bits of bf16.
template <class Value>
void CudaOps::RunExperts(const ExpertSet& set, const cuda::ExpertTable& table, const ExpertRun& run) {
  using namespace cuda;
  constexpr bool kRounds = !std::is_same_v<Value, float>;
  const int64_t count = static_cast<int64_t>(set.own.size()), pairs = run.x.rows * run.active, columns = set.columns, hidden = run.x.cols;
  const int32_t batch_rows = BatchRows(kRounds, run.x.rows);
  const int64_t batches = BatchesMax(pairs, count, batch_rows);
  Room room(run.room);
  const Sorted sorted = TakeSorted(room, pairs, batches);
  float* results = room.Take(1, FloatsFor(pairs, hidden)).data;
  const SortTask sort{run.experts, static_cast<int32_t>(pairs), static_cast<int32_t>(set.first), static_cast<int32_t>(count),
                      static_cast<int32_t>(set.scale_input ? 1 : run.active), batch_rows, static_cast<int32_t>(batches), sorted};
  // What experts read, where it is not x, lies where their results will: nobody needs both.
  const int64_t own_rows = set.scale_input ? pairs : kRounds ? run.x.rows : 0;
  const Scaled<Value> own{run.x.data, set.scale_input ? run.weights : nullptr, hidden, Stride<Value>(hidden),
                          static_cast<int32_t>(set.scale_input ? run.active : 1), reinterpret_cast<Value*>(results)};
  LaunchSort(*device_, sort, own_rows * hidden, own);

  ExpertProduct product{.batches = sorted.batches, .batches_max = batches, .batch_rows = batch_rows, .places = sorted.places};
  product.Read(own_rows > 0 ? own.to : reinterpret_cast<const Value*>(run.x.data), own.stride);
  product.y_side = Room::Rounded(pairs * table.inner.rows);
  product.y = room.Take(table.inner.sides, product.y_side).data;
  MultiplyExperts(*device_, table.inner, product);

  const Inner<Value> inner{sorted.total, columns, Stride<Value>(columns), set.kind, set.gated, set.pairs.has_value(),
                           set.pairs ? set.pairs->alpha : 0, set.pairs ? set.pairs->limit : 0, product.y, product.y + product.y_side,
                           reinterpret_cast<Value*>(room.Take(1, FloatsFor(pairs, columns)).data)};
  ForEach(*device_, "Experts", pairs * columns, inner);
  product.Read(inner.to, inner.stride);
  product.places = nullptr;
  product.y = results;
  MultiplyExperts(*device_, table.down, product);
  ForEach(*device_, "Experts", run.out.size(),
          Combined{sorted.rows, set.scale_input ? nullptr : run.weights, results, run.out.data, hidden, static_cast<int32_t>(run.active)});
}

void CudaOps::Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x,
                      std::span<float> room, Tensor out) {
  DROVER_CHECK(x.rows == out.rows && x.cols == out.cols && experts.size() == weights.size());
  DROVER_CHECK_LE(static_cast<int64_t>(set.own.size()), cuda::kExpertsMax);
  if (x.rows == 0 || set.own.empty()) return;
  const absl::StatusOr<const cuda::ExpertTable*> table = expert_tables_->Of(set, x.cols, *memory_);
  if (!table.ok()) return device_->Keep(Annotate(table.status(), "room for a layer's list of experts"));
  const int64_t active = static_cast<int64_t>(experts.size()) / x.rows, piece = cuda::TokensAtOnce(active);
  for (int64_t t = 0; t < x.rows; t += piece) {
    const int64_t rows = std::min(piece, x.rows - t);
    const ExpertRun run{.experts = experts.data() + t * active, .weights = weights.data() + t * active, .active = active,
                        .x = {x.data + t * x.cols, rows, x.cols}, .room = room, .out = {out.data + t * out.cols, rows, out.cols}};
    bf16_ == nullptr ? RunExperts<float>(set, **table, run) : RunExperts<uint16_t>(set, **table, run);
  }
}

}  // namespace drover
