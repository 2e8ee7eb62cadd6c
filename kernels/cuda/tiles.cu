// See tiles.h.
#include "kernels/cuda/tiles.h"

#include "common/check.h"
#include "kernels/cuda/bf16.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_view.cuh"

namespace drover::cuda {
namespace {

struct RoundPiece {
  const float* x;
  uint4* to;
  int64_t cols, pieces;  // of a row
  bool wide;             // rows of x begin at multiples of 16 bytes

  __device__ void operator()(int64_t i) const {
    const int64_t c = i % pieces * kPiece;
    const float* at = x + i / pieces * cols + c;
    float values[kPiece];
    if (wide && c + kPiece <= cols) {
      const float4 a = reinterpret_cast<const float4*>(at)[0], b = reinterpret_cast<const float4*>(at)[1];
      to[i] = {BF16Pair(a.x, a.y), BF16Pair(a.z, a.w), BF16Pair(b.x, b.y), BF16Pair(b.z, b.w)};
      return;
    }
    for (int k = 0; k < kPiece; ++k) values[k] = c + k < cols ? at[k] : 0;
    to[i] = BF16Piece(values);
  }
};

struct TileTask {
  WeightView weight;
  int64_t first_row = 0, rows = 0, stride = 0;
  int32_t pieces = 0;  // of a stored row
  uint16_t* to = nullptr;
};

// Stored columns that lie as the activations do: a piece is one store.
template <class Read>
struct OpenAligned {
  TileTask task;
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / task.pieces, c = i % task.pieces * kPiece;
    float w[kPiece];
    OpenPiece<Read>(task.weight, task.first_row + row, static_cast<int32_t>(task.weight.first + c), w);
    *reinterpret_cast<uint4*>(task.to + row * task.stride + c) = BF16Piece(w);
  }
};

// Any lead and any order: each value goes to the activation that it meets, and the last piece fills the row up.
template <class Read>
struct OpenScattered {
  TileTask task;
  __device__ void operator()(int64_t i) const {
    const WeightView& weight = task.weight;
    const int64_t row = i / task.pieces, piece = i % task.pieces;
    const int32_t c = static_cast<int32_t>(weight.first / kPiece * kPiece + piece * kPiece);
    uint16_t* to = task.to + row * task.stride;
    float w[kPiece];
    OpenPiece<Read>(weight, task.first_row + row, c, w);
    for (int k = 0; k < kPiece; ++k)
      if (weight.Has(c + k)) to[weight.Meets(c + k)] = static_cast<uint16_t>(BF16Pair(w[k], 0));
    if (piece != task.pieces - 1) return;
    for (int64_t k = weight.end - weight.first; k < task.stride; ++k) to[k] = 0;
  }
};

struct LaunchOpen {
  CudaDevice& device;
  TileTask task;

  template <class Read>
  void operator()(Read) const {
    const WeightView& weight = task.weight;
    TileTask own = task;
    if (weight.order == nullptr && weight.first % kPiece == 0) {
      own.pieces = static_cast<int32_t>(task.stride / kPiece);
      ForEach(device, "Linear: opening a weight", task.rows * own.pieces, OpenAligned<Read>{own});
    } else {
      own.pieces = (weight.end + kPiece - 1) / kPiece - weight.first / kPiece;
      ForEach(device, "Linear: opening a weight", task.rows * own.pieces, OpenScattered<Read>{own});
    }
  }
};

struct AddToColumns {
  const float* bias;
  float* y;
  int64_t cols, stride;
  __device__ void operator()(int64_t i) const { y[i / cols * stride + i % cols] += bias[i % cols]; }
};

}  // namespace

void RoundRows(CudaDevice& device, Tensor x, int64_t stride, uint16_t* to) {
  const bool wide = x.cols % 4 == 0 && reinterpret_cast<uintptr_t>(x.data) % 16 == 0;
  const RoundPiece piece{x.data, reinterpret_cast<uint4*>(to), x.cols, stride / kPiece, wide};
  ForEach(device, "Linear: rounding the activations", x.rows * piece.pieces, piece);
}

void OpenRows(CudaDevice& device, const PackedWeight& weight, int64_t first, int64_t rows, int64_t stride, uint16_t* to) {
  DROVER_CHECK(first >= 0 && first + rows <= weight.rows && stride >= weight.cols && stride < weight.cols + kPiece);
  WithReader(weight.dtype, LaunchOpen{device, {.weight = ViewOf(weight), .first_row = first, .rows = rows, .stride = stride, .to = to}});
}

void AddBias(CudaDevice& device, const float* bias, int64_t cols, int64_t tokens, int64_t stride, float* y) {
  ForEach(device, "Linear: adding the bias", tokens * cols, AddToColumns{bias, y, cols, stride});
}

}  // namespace drover::cuda
