// LinearTask: what the kernels of Linear and HeadLinear compute, how their warps share it out, and how activations are read.
#pragma once

#include "kernels/cuda/block_chunks.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/ops.h"

namespace drover::cuda {

inline constexpr int kWarps = kThreads / kWarp;

// Matrices of `heads` heads, all in one weight; a plain matrix is one head. Strides are in values, between rows or heads.
struct LinearTask {
  WeightView weight;
  const float* x = nullptr;
  const float* bias = nullptr;  // may be null
  float* y = nullptr;
  int64_t x_token = 0, x_head = 0, y_token = 0, y_head = 0;
  int32_t tokens = 0, heads = 1;
  int32_t rows = 0, first_row = 0, row_stride = 0;  // of a head's part of the weight
  bool wide_x = false;  // four activations can be loaded at once
  // Set at the launch. Columns are taken in chunks, numbered from column 0; 2^part_shift warps share those of their rows.
  bool in_chunks = false;
  int32_t first_chunk = 0, end_chunk = 0, part_shift = 0;
  int32_t first_block = 0;  // of those that share a launch

  __device__ int64_t WeightRow(int32_t head, int32_t row) const {
    return int64_t{head} * row_stride + first_row + min(row, rows - 1);
  }
  // The place of a warp's rows among all groups of rows.
  __device__ int32_t RowGroup() const {
    return (static_cast<int32_t>(blockIdx.x) - first_block) * (kWarps >> part_shift) + (static_cast<int32_t>(threadIdx.x) / kWarp >> part_shift);
  }
  __host__ __device__ int32_t Parts() const { return 1 << part_shift; }
  __device__ int32_t Part() const { return static_cast<int32_t>(threadIdx.x) / kWarp & (Parts() - 1); }
  __device__ float Biased(int32_t row, float sum) const { return bias == nullptr ? sum : sum + bias[row]; }
  __device__ void Put(int32_t token, int32_t head, int32_t row, float sum) const {
    y[token * y_token + head * y_head + row] = Biased(row, sum);
  }
};

// Whether the rows of two weights are read alike and meet the same activations.
inline bool LieAlike(const PackedWeight& a, const PackedWeight& b) {
  const Groups &g = a.groups, &h = b.groups;
  const bool in_order = g.order.empty() && g.column_group.empty() && h.order.empty() && h.column_group.empty();
  return in_order && a.dtype == b.dtype && a.cols == b.cols && a.lead == b.lead && a.row_bytes == b.row_bytes && g.rows == h.rows &&
         g.cols == h.cols && g.col_offset == h.col_offset && g.across == h.across && g.scale_type == h.scale_type && g.zero == h.zero;
}

// Tasks of the same tokens whose weights lie alike, in one launch: their blocks lie one task's after the other's. What all have in common
// stays where kernels read it without a register.
struct LinearTasks {
  static constexpr int kMost = 4;
  struct Own {
    const std::byte *codes = nullptr, *scales = nullptr, *zeros = nullptr;
    const float* bias = nullptr;
    float* y = nullptr;
    int64_t y_token = 0;
    int32_t rows = 0, row_offset = 0, part_shift = 0, first_block = 0;
  };
  LinearTask shared;
  Own own[kMost];
  int32_t count = 0;

  void Add(const LinearTask& task) {
    if (count == 0) shared = task;
    own[count++] = {task.weight.codes, task.weight.scales, task.weight.zeros, task.bias, task.y, task.y_token, task.rows, task.weight.row_offset};
  }
  // The task that this block belongs to.
  __device__ int Index() const {
    int index = 0;
    while (index + 1 < count && static_cast<int32_t>(blockIdx.x) >= own[index + 1].first_block) ++index;
    return index;
  }
  __host__ __device__ LinearTask Of(int index) const {
    const Own& one = own[index];
    LinearTask task = shared;
    task.weight.codes = one.codes;
    task.weight.scales = one.scales;
    task.weight.zeros = one.zeros;
    task.weight.row_offset = one.row_offset;
    task.bias = one.bias;
    task.y = one.y;
    task.y_token = one.y_token;
    task.rows = one.rows;
    task.part_shift = one.part_shift;
    task.first_block = one.first_block;
    return task;
  }
};

// All of a task but its activations.
inline LinearTask TaskOf(const LinearPart& part) {
  LinearTask task{.weight = ViewOf(part.weight), .bias = part.bias.empty() ? nullptr : part.bias.data(), .y = part.y.data, .y_token = part.y.cols};
  task.tokens = static_cast<int32_t>(part.y.rows);
  task.rows = static_cast<int32_t>(part.y.cols);
  return task;
}

__host__ __device__ inline bool IsWide(const WeightView& weight, const float* x, int64_t x_token, int64_t x_head) {
  return weight.order == nullptr && weight.first % 4 == 0 && x_token % 4 == 0 && x_head % 4 == 0 &&
         reinterpret_cast<uintptr_t>(x) % 16 == 0;
}

// Of rows in bf16: whether eight can be loaded at once.
inline bool IsWideRounded(const WeightView& weight) { return weight.order == nullptr && weight.first % kPiece == 0; }

// Sets what the reader's chunks decide. A warp takes kRows rows, and `at_once` chunks of each in one turn. The parts depend on the
// weight alone, so that a token's sums are made in one order whatever its batch.
template <class Read>
void ShareOut(LinearTask& task, int32_t rows_of_warp, int32_t at_once) {
  constexpr int64_t kEnoughWarps = 4096;  // to keep the memory of a large device busy
  const WeightView& weight = task.weight;
  task.in_chunks = InChunks<Read>(weight);
  task.first_chunk = weight.first / kColumns<Read>;
  task.end_chunk = (weight.end + kColumns<Read> - 1) / kColumns<Read>;
  const int64_t warps = int64_t{task.heads} * ((task.rows + rows_of_warp - 1) / rows_of_warp);
  const int64_t turns = (task.end_chunk - task.first_chunk + at_once - 1) / at_once;
  task.part_shift = 0;
  while (task.Parts() < kWarps && warps * task.Parts() < kEnoughWarps && task.Parts() * 2 <= turns) ++task.part_shift;
}

inline unsigned RowBlocks(const LinearTask& task, int32_t rows_of_warp) {
  return Blocks(task.rows, int64_t{rows_of_warp} * (kWarps >> task.part_shift));
}

// The same for each task; how many blocks they take together.
template <class Read>
unsigned ShareOut(LinearTasks& all, int32_t rows_of_warp, int32_t at_once) {
  unsigned blocks = 0;
  for (int i = 0; i < all.count; ++i) {
    LinearTask task = all.Of(i);
    ShareOut<Read>(task, rows_of_warp, at_once);
    all.own[i].part_shift = task.part_shift;
    all.own[i].first_block = static_cast<int32_t>(blocks);
    blocks += RowBlocks(task, rows_of_warp);
  }
  ShareOut<Read>(all.shared, rows_of_warp, at_once);
  return blocks;
}

// The 8 activations that meet the stored columns from c on; zero where there are none. `wide`: see IsWide.
__device__ inline void LoadPiece(const WeightView& weight, bool wide, const float* x, int32_t c, float* values) {
  if (wide && weight.Whole(c)) {
    const float4* at = reinterpret_cast<const float4*>(x + (c - weight.first));
    const float4 a = at[0], b = at[1];
    values[0] = a.x, values[1] = a.y, values[2] = a.z, values[3] = a.w;
    values[4] = b.x, values[5] = b.y, values[6] = b.z, values[7] = b.w;
    return;
  }
  for (int i = 0; i < kPiece; ++i) values[i] = weight.Has(c + i) ? x[weight.Meets(c + i)] : 0;
}

}  // namespace drover::cuda
