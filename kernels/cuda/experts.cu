// Experts: the pairs (token, choice) are sorted by own expert on the device, one launch a matrix computes all experts, and each token
// adds up what its experts gave. Nothing about who chose whom reaches the host.
#include "common/check.h"
#include "kernels/cuda/expert_tables.h"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/linear_task.cuh"
#include "kernels/room.h"

namespace drover {
namespace cuda {

// A matrix of one expert, as kernels see it.
struct ExpertMatrix {
  WeightView weight;
  const float* bias = nullptr;  // may be null
  DType dtype = DType::kF32;
};

namespace {

constexpr int64_t kExpertsMax = 2048;  // on a rank: one number each in shared memory
constexpr int64_t kPairsMax = 8192;    // sorted at a time; what follows is sized by it

// A piece of the tokens with `active` choices each, and what is made of it: the pairs sorted by own expert.
struct Sorted {
  int32_t* begins = nullptr;  // [own experts + 1]: rows of expert e are begins[e] to begins[e + 1]
  int32_t* tokens = nullptr;  // of each row
  float* factors = nullptr;   // the router's weight of each row
  int32_t* rows = nullptr;    // of each pair; -1 where another rank has the expert
};
struct SortTask {
  const int32_t* experts;
  const float* weights;
  int32_t pairs, active, first, count;  // own experts are [first, first + count)
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

// One block sorts. Rows of one expert come in any order: no row's result depends on its place.
__global__ void __launch_bounds__(kThreads) SortPairs(const SortTask task) {
  extern __shared__ float shared[];
  int32_t* counts = reinterpret_cast<int32_t*>(shared);  // of own experts, then where each one's next row goes
  __shared__ int32_t room[kThreads];
  for (int32_t e = threadIdx.x; e < task.count; e += kThreads) counts[e] = 0;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < task.pairs; i += kThreads) {
    const int32_t own = task.experts[i] - task.first;
    if (own >= 0 && own < task.count) atomicAdd(&counts[own], 1);
  }
  __syncthreads();
  const int32_t each = (task.count + kThreads - 1) / kThreads, begin = min(each * static_cast<int32_t>(threadIdx.x), task.count);
  const int32_t end = min(begin + each, task.count);
  int32_t sum = 0;
  for (int32_t e = begin; e < end; ++e) sum += counts[e];
  int32_t row = SumBefore(sum, room);
  for (int32_t e = begin; e < end; ++e) {
    const int32_t count = counts[e];
    task.sorted.begins[e] = counts[e] = row;
    row += count;
  }
  if (threadIdx.x == kThreads - 1) task.sorted.begins[task.count] = row;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < task.pairs; i += kThreads) {
    const int32_t own = task.experts[i] - task.first;
    task.sorted.rows[i] = -1;
    if (own < 0 || own >= task.count) continue;
    const int32_t at = atomicAdd(&counts[own], 1);
    task.sorted.tokens[at] = i / task.active;
    task.sorted.factors[at] = task.weights[i];
    task.sorted.rows[i] = at;
  }
}

// y[i] = W_e x[tokens[i]] + b_e for the rows i of each expert e; without tokens x[i]. With factors, x is scaled first.
struct ExpertTask {
  const ExpertMatrix* matrices = nullptr;  // of own experts
  const int32_t* begins = nullptr;
  const int32_t* tokens = nullptr;
  const float* factors = nullptr;
  const float* x = nullptr;
  float* y = nullptr;
  int32_t rows = 0, cols = 0;  // of each matrix
  DType dtype = DType::kF32;   // experts of another one are left to another launch
};

// kRows outputs of a warp for kTokens of an expert's rows, from `first` on; rows past `end` repeat the last.
template <class Read, int kRows, int kTokens>
__device__ inline void ExpertTile(const ExpertTask& task, const ExpertMatrix& matrix, int row, int first, int end) {
  const WeightView& weight = matrix.weight;
  const int lane = threadIdx.x % kWarp;
  const bool wide = IsWide(weight, task.x, task.cols, 0);
  float sums[kTokens][kRows] = {};
  for (int c = weight.first / kPiece * kPiece + lane * kPiece; c < weight.end; c += kWarp * kPiece) {
    float w[kRows][kPiece];
#pragma unroll
    for (int r = 0; r < kRows; ++r) OpenPiece<Read>(weight, min(row + r, task.rows - 1), c, w[r]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const int at = min(first + t, end - 1);
      const int64_t token = task.tokens == nullptr ? at : task.tokens[at];
      const float factor = task.factors == nullptr ? 1 : task.factors[at];
      float values[kPiece];
      LoadPiece(weight, wide, task.x + token * task.cols, c, values);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) values[i] *= factor;
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sums[t][r] = fmaf(w[r][i], values[i], sums[t][r]);
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = WarpSum(sums[t][r]);
      if (lane != 0 || first + t >= end || row + r >= task.rows) continue;
      task.y[int64_t{first + t} * task.rows + row + r] = matrix.bias == nullptr ? sum : sum + matrix.bias[row + r];
    }
  }
}

constexpr int kRowsAtOnce = 4, kTokensAtOnce = 8;

// A block takes rows of one expert's matrix and walks through the expert's tokens.
template <class Read>
__global__ void __launch_bounds__(kThreads) ExpertRows(const ExpertTask task) {
  const ExpertMatrix& matrix = task.matrices[blockIdx.z];
  if (matrix.dtype != task.dtype) return;
  const int begin = task.begins[blockIdx.z], end = task.begins[blockIdx.z + 1];
  const int row = (static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp) * kRowsAtOnce;
  if (begin == end || row >= task.rows) return;
  if (end - begin == 1) return ExpertTile<Read, kRowsAtOnce, 1>(task, matrix, row, begin, end);
  for (int first = begin; first < end; first += kTokensAtOnce)
    ExpertTile<Read, kRowsAtOnce, kTokensAtOnce>(task, matrix, row, first, end);
}

struct LaunchExperts {
  const ExpertTask& task;
  unsigned experts;
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    const dim3 grid{Blocks(task.rows, kWarps * kRowsAtOnce), 1, experts};
    ExpertRows<Read><<<grid, kThreads, 0, stream>>>(task);
  }
};

// The values before the down matrix, over the rows that there are: `total` of them, known to the device alone.
struct Inner {
  const int32_t* total;
  int32_t cols;
  GateKind kind;
  bool gated, pairs;
  float alpha, limit;
  const float *up, *gate;  // or up and gate alternating in `up`
  float* y;                // may be `up`
  __device__ void operator()(int64_t i) const {
    if (i >= int64_t{*total} * cols) return;
    if (pairs)
      y[i] = ClampedPair(alpha, limit, up[2 * i], up[2 * i + 1]);
    else
      y[i] = gated ? Activated(kind, gate[i]) * up[i] : Activated(kind, up[i]);
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

// One role of all own experts, on its way to the device.
struct Role {
  std::vector<ExpertMatrix> matrices;
  int64_t rows = 0;

  void Add(const PackedWeight& weight, std::span<const float> bias) {
    rows = weight.rows;
    matrices.push_back({ViewOf(weight), bias.empty() ? nullptr : bias.data(), weight.dtype});
  }
};

}  // namespace

absl::StatusOr<const ExpertTable*> ExpertTables::Of(const ExpertSet& set, Memory& memory) {
  const auto known = tables_.find(set.own.data());
  if (known != tables_.end()) return &known->second;
  Role roles[kExpertRoles];
  for (const FfnWeights& expert : set.own) {
    roles[kUp].Add(set.pairs ? expert.pairs : expert.up, set.pairs ? expert.pairs_bias : expert.up_bias);
    if (set.gated && !set.pairs) roles[kGate].Add(expert.gate, expert.gate_bias);
    roles[kDown].Add(expert.down, expert.down_bias);
  }
  ExpertTable table;
  for (int role = 0; role < kExpertRoles; ++role) {
    if (roles[role].matrices.empty()) continue;
    const std::span<const std::byte> bytes = std::as_bytes(std::span(roles[role].matrices));
    DROVER_ASSIGN_OR_RETURN(table.matrices[role], memory.Allocate(static_cast<int64_t>(bytes.size())));
    memory.Upload(bytes, table.matrices[role].data());
    for (const ExpertMatrix& matrix : roles[role].matrices)
      if (std::ranges::find(table.dtypes[role], matrix.dtype) == table.dtypes[role].end()) table.dtypes[role].push_back(matrix.dtype);
  }
  return &tables_.emplace(set.own.data(), std::move(table)).first->second;
}

}  // namespace cuda

int64_t CudaOps::ExpertRoom(int64_t tokens, int64_t active, int64_t hidden, int64_t columns) const {
  const auto rounded = [](int64_t floats) { return Room::Rounded(floats); };
  const int64_t pairs = std::min(tokens, cuda::TokensAtOnce(active)) * active;
  return rounded(cuda::kExpertsMax + 1) + 3 * rounded(pairs) + rounded(2 * pairs * columns) + rounded(pairs * columns) + rounded(pairs * hidden);
}

void CudaOps::RunExperts(const ExpertSet& set, const cuda::ExpertTable& table, const ExpertRun& run) {
  using namespace cuda;
  const int64_t count = static_cast<int64_t>(set.own.size()), pairs = run.x.rows * run.active, columns = set.columns;
  Room room(run.room);
  const auto ints = [&room](int64_t n) { return reinterpret_cast<int32_t*>(room.Take(1, n).data); };
  const Sorted sorted{ints(count + 1), ints(pairs), room.Take(1, pairs).data, ints(pairs)};
  const SortTask sort{run.experts, run.weights, static_cast<int32_t>(pairs), static_cast<int32_t>(run.active),
                      static_cast<int32_t>(set.first), static_cast<int32_t>(count), sorted};
  SortPairs<<<1, kThreads, static_cast<size_t>(count) * sizeof(int32_t), device_->stream()>>>(sort);
  device_->Launched("Experts");
  const auto multiply = [&](int role, int64_t rows, int64_t cols, const float* x, bool from_tokens, float* y) {
    ExpertTask task{.begins = sorted.begins, .tokens = from_tokens ? sorted.tokens : nullptr,
                    .factors = from_tokens && set.scale_input ? sorted.factors : nullptr, .x = x, .y = y};
    task.matrices = reinterpret_cast<const ExpertMatrix*>(table.matrices[role].data());
    task.rows = static_cast<int32_t>(rows);
    task.cols = static_cast<int32_t>(cols);
    for (const DType dtype : table.dtypes[role]) {
      if (rows == 0) continue;
      task.dtype = dtype;
      WithReader(dtype, LaunchExperts{task, static_cast<unsigned>(count), device_->stream()});
      device_->Launched("Experts");
    }
  };
  const int64_t up_columns = set.pairs ? 2 * columns : columns;
  float* up = room.Take(pairs, 2 * columns).data;
  float* other = room.Take(pairs, columns).data;  // the gate's, or what becomes of pairs
  float* y = room.Take(pairs, run.x.cols).data;
  multiply(kUp, up_columns, run.x.cols, run.x.data, true, up);
  if (set.gated && !set.pairs) multiply(kGate, columns, run.x.cols, run.x.data, true, other);
  float* inner = set.pairs ? other : up;
  ForEach(*device_, "Experts", pairs * columns,
          Inner{sorted.begins + count, static_cast<int32_t>(columns), set.kind, set.gated, set.pairs.has_value(),
                set.pairs ? set.pairs->alpha : 0, set.pairs ? set.pairs->limit : 0, up, other, inner});
  multiply(kDown, run.x.cols, columns, inner, false, y);
  ForEach(*device_, "Experts", run.out.size(),
          Combined{sorted.rows, set.scale_input ? nullptr : run.weights, y, run.out.data, run.out.cols, static_cast<int32_t>(run.active)});
}

void CudaOps::Experts(const ExpertSet& set, std::span<const int32_t> experts, std::span<const float> weights, Tensor x,
                      std::span<float> room, Tensor out) {
  DROVER_CHECK(x.rows == out.rows && x.cols == out.cols && experts.size() == weights.size());
  DROVER_CHECK_LE(static_cast<int64_t>(set.own.size()), cuda::kExpertsMax);
  if (x.rows == 0 || set.own.empty()) return;
  const absl::StatusOr<const cuda::ExpertTable*> table = expert_tables_->Of(set, *memory_);
  if (!table.ok()) return device_->Keep(Annotate(table.status(), "room for a layer's list of experts"));
  const int64_t active = static_cast<int64_t>(experts.size()) / x.rows, piece = cuda::TokensAtOnce(active);
  for (int64_t t = 0; t < x.rows; t += piece) {
    const int64_t rows = std::min(piece, x.rows - t);
    RunExperts(set, **table,
               {.experts = experts.data() + t * active, .weights = weights.data() + t * active, .active = active,
                .x = {x.data + t * x.cols, rows, x.cols}, .room = room, .out = {out.data + t * out.cols, rows, out.cols}});
  }
}

}  // namespace drover
