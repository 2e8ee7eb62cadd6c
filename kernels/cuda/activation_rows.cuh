// The activations of products on tensor cores, 8 of a token at a time in bf16.
#pragma once

#include "kernels/cuda/linear_task.cuh"

namespace drover::cuda {

// The activations of a task's tokens in f32: where each one's lie, and 8 of them in bf16.
struct FloatRows {
  const float* x;
  int64_t stride;
  static __device__ int32_t Place(int32_t token) { return token; }
  __device__ uint4 Piece(const LinearTask& task, int32_t place, int32_t c) const {
    float values[kPiece];
    LoadPiece(task.weight, task.wide_x, x + place * stride, c, values);
    return BF16Piece(values);
  }
};
// The same for rows that are rounded; token t's is places[t], or t.
struct RoundedRows {
  const uint16_t* x;
  int64_t stride;
  const int32_t* places = nullptr;
  __device__ int32_t Place(int32_t token) const { return places == nullptr ? token : places[token]; }
  __device__ uint4 Piece(const LinearTask& task, int32_t place, int32_t c) const {
    const WeightView& weight = task.weight;
    const uint16_t* row = x + place * stride;
    if (task.wide_x && weight.Whole(c)) return *reinterpret_cast<const uint4*>(row + (c - weight.first));
    unsigned values[kPiece];
    for (int i = 0; i < kPiece; ++i) values[i] = weight.Has(c + i) ? row[weight.Meets(c + i)] : 0;
    return {values[0] | values[1] << 16, values[2] | values[3] << 16, values[4] | values[5] << 16, values[6] | values[7] << 16};
  }
};

}  // namespace drover::cuda
