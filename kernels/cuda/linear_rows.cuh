// Products of a few rows with a few tokens in f32, straight from a weight's storage form: what the kernels of Linear and of experts share.
#pragma once

#include "kernels/cuda/linear_task.cuh"

namespace drover::cuda {

// The products of rows with tokens over 8 columns.
template <int kRows, int kTokens>
__device__ inline void AddPiece(const LinearTask& task, const float* const (&x)[kTokens], int32_t c, const float (&w)[kRows][kPiece],
                                float (&sums)[kTokens][kRows]) {
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    float values[kPiece];
    LoadPiece(task.weight, task.wide_x, x[t], c, values);
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) sums[t][r] = fmaf(w[r][i], values[i], sums[t][r]);
  }
}

// A lane's share of the sums: chunk after chunk of its rows. A chunk that is not whole is opened piece by piece.
template <class Read, int kRows, int kTokens>
__device__ inline void AddChunks(const LinearTask& task, const float* const (&x)[kTokens], const int64_t (&weight_rows)[kRows],
                                 float (&sums)[kTokens][kRows]) {
  const int lane = threadIdx.x % kWarp;
  RowAt rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = RowOf(task.weight, weight_rows[r]);
  for (int chunk = task.first_chunk + task.Part() * kWarp + lane; chunk < task.end_chunk; chunk += task.Parts() * kWarp) {
    const int32_t c = chunk * kColumns<Read>;
    float w[kRows][kPiece];
    if (task.in_chunks && task.weight.Whole(c, kColumns<Read>)) {
      typename Chunk<Read>::Raw raw[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) raw[r] = Chunk<Read>::Load(task.weight, rows[r], c);
#pragma unroll
      for (int p = 0; p < Chunk<Read>::kPieces; ++p) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) Chunk<Read>::Open(raw[r], p, w[r]);
        AddPiece(task, x, c + p * kPiece, w, sums);
      }
    } else {
      for (int32_t at = c; at < min(c + kColumns<Read>, task.weight.end); at += kPiece) {
#pragma unroll
        for (int r = 0; r < kRows; ++r) OpenPiece<Read>(task.weight, weight_rows[r], at, w[r]);
        AddPiece(task, x, at, w, sums);
      }
    }
  }
}

// y[t,h,r] = Σ_c W[row r of head h, c]·x[t,c] + bias[r] for the tokens from `token` on, of which x has the rows. A group of Parts() warps
// computes kRows rows for kTokens tokens; their lanes take chunks of columns in turn, then the sums of lanes and of warps are added up in
// their order. The block calls it.
template <class Read, int kRows, int kTokens>
__device__ inline void MultiplyRows(const LinearTask& task, int head, int token, const float* const (&x)[kTokens]) {
  static_assert(kRows * kTokens <= kWarp);
  __shared__ float partial[kWarps][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, row = task.RowGroup() * kRows;
  if (row >= task.rows) return;
  int64_t weight_rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) weight_rows[r] = task.WeightRow(head, row + r);
  float sums[kTokens][kRows] = {};
  AddChunks<Read, kRows, kTokens>(task, x, weight_rows, sums);
  float own = 0;  // each lane finishes one sum
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = WarpSum(sums[t][r]);
      if (lane == t * kRows + r) own = sum;
    }
  }
  if (task.Parts() > 1) {
    partial[warp][lane] = own;
    __syncthreads();
    if (task.Part() != 0) return;
    for (int part = 1; part < task.Parts(); ++part) own += partial[warp + part][lane];
  }
  const int t = token + lane / kRows, r = row + lane % kRows;
  if (lane >= kRows * kTokens || t >= task.tokens || r >= task.rows) return;
  task.Put(t, head, r, own);
}

}  // namespace drover::cuda
