// Weights that are read row by row: Embed, and HeadLinearTransposed, whose sums run over the rows of a head.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_view.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int kColumnThreads = 64, kColumnTokens = 4;

struct EmbedTask {
  WeightView table;
  const int32_t* ids = nullptr;
  float* y = nullptr;
  int64_t first = 0, rows = 0, cols = 0;
};

// y[t] = E[ids[t] - first], zeros where that is no row: one block for each token.
template <class Read>
__global__ void EmbedRows(const EmbedTask task) {
  const WeightView& table = task.table;
  const int64_t row = task.ids[blockIdx.x] - task.first;
  float* y = task.y + blockIdx.x * task.cols;
  if (row < 0 || row >= task.rows) {
    for (int64_t i = threadIdx.x; i < task.cols; i += blockDim.x) y[i] = 0;
    return;
  }
  for (int c = table.first / kPiece * kPiece + static_cast<int>(threadIdx.x) * kPiece; c < table.end; c += blockDim.x * kPiece) {
    float w[kPiece];
    OpenPiece<Read>(table, row, c, w);
    for (int i = 0; i < kPiece; ++i)
      if (table.Has(c + i)) y[table.Meets(c + i)] = w[i];
  }
}

struct LaunchEmbed {
  const EmbedTask& task;
  unsigned tokens;
  cudaStream_t stream;
  template <class Read>
  void operator()(Read) const {
    EmbedRows<Read><<<tokens, ThreadsFor((task.cols + kPiece - 1) / kPiece), 0, stream>>>(task);
  }
};

struct TransposedTask {
  WeightView weight;
  const float* x = nullptr;
  float* y = nullptr;  // at the column where the result begins
  int64_t x_token = 0, x_head = 0, y_token = 0, y_head = 0;
  int32_t tokens = 0, heads = 0, rows = 0, first_row = 0, row_stride = 0;
};

// y[t,h,c] = Σ_i W[h·stride + first + i, c]·x[t,h,i]: a thread has 8 columns of kColumnTokens tokens and takes the rows in order.
template <class Read>
__global__ void __launch_bounds__(kColumnThreads) TransposedColumns(const TransposedTask task) {
  const WeightView& weight = task.weight;
  const int head = blockIdx.z, token = static_cast<int>(blockIdx.y) * kColumnTokens;
  const int c = weight.first / kPiece * kPiece + static_cast<int>(blockIdx.x * kColumnThreads + threadIdx.x) * kPiece;
  if (c >= weight.end) return;
  const float* x = task.x + head * task.x_head;
  float sums[kColumnTokens][kPiece] = {};
  for (int row = 0; row < task.rows; ++row) {
    float w[kPiece];
    OpenPiece<Read>(weight, int64_t{head} * task.row_stride + task.first_row + row, c, w);
#pragma unroll
    for (int t = 0; t < kColumnTokens; ++t) {
      const float factor = x[min(token + t, task.tokens - 1) * task.x_token + row];
#pragma unroll
      for (int i = 0; i < kPiece; ++i) sums[t][i] = fmaf(factor, w[i], sums[t][i]);
    }
  }
#pragma unroll
  for (int t = 0; t < kColumnTokens; ++t) {
    if (token + t >= task.tokens) return;
    float* y = task.y + (token + t) * task.y_token + head * task.y_head;
#pragma unroll
    for (int i = 0; i < kPiece; ++i)
      if (weight.Has(c + i)) y[weight.Meets(c + i)] = sums[t][i];
  }
}

struct LaunchTransposed {
  const TransposedTask& task;
  cudaStream_t stream;
  template <class Read>
  void operator()(Read) const {
    const int64_t pieces = (task.weight.end + kPiece - 1) / kPiece - task.weight.first / kPiece;
    const dim3 grid{Blocks(pieces, kColumnThreads), Blocks(task.tokens, kColumnTokens), static_cast<unsigned>(task.heads)};
    TransposedColumns<Read><<<grid, kColumnThreads, 0, stream>>>(task);
  }
};

}  // namespace
}  // namespace cuda

void CudaOps::Embed(const PackedWeight& table, int64_t first, std::span<const int32_t> ids, Tensor y) {
  DROVER_CHECK_EQ(static_cast<int64_t>(ids.size()), y.rows);
  DROVER_CHECK(table.empty() || table.cols == y.cols);
  if (y.size() == 0) return;
  const int64_t rows = table.empty() ? 0 : table.rows;
  const cuda::EmbedTask task{cuda::ViewOf(table), ids.data(), y.data, first, rows, y.cols};
  cuda::WithReader(table.dtype, cuda::LaunchEmbed{task, static_cast<unsigned>(y.rows), device_->stream()});
  device_->Launched("Embed");
}

void CudaOps::HeadLinearTransposed(const PackedWeight& weight, const HeadRows& part, Tensor x, int64_t column, Tensor y) {
  if (part.heads == 0) return;
  DROVER_CHECK(part.first >= 0 && part.rows >= 0 && part.first + part.rows <= part.stride);
  DROVER_CHECK(x.rows == y.rows && x.cols % part.heads == 0 && y.cols % part.heads == 0);
  DROVER_CHECK_EQ(weight.rows, part.heads * part.stride);
  DROVER_CHECK(x.cols >= part.heads * part.rows && column >= 0 && y.cols >= part.heads * (column + weight.cols));
  if (x.rows == 0 || weight.cols == 0) return;
  cuda::TransposedTask task{cuda::ViewOf(weight), x.data, y.data + column, x.cols, x.cols / part.heads, y.cols, y.cols / part.heads};
  task.tokens = static_cast<int32_t>(x.rows);
  task.heads = static_cast<int32_t>(part.heads);
  task.rows = static_cast<int32_t>(part.rows);
  task.first_row = static_cast<int32_t>(part.first);
  task.row_stride = static_cast<int32_t>(part.stride);
  cuda::WithReader(weight.dtype, cuda::LaunchTransposed{task, device_->stream()});
  device_->Launched("HeadLinearTransposed");
}

}  // namespace drover
