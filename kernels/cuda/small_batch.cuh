// Products of 16 rows with few tokens on tensor cores, straight from a weight's storage form: what the kernels of Linear and of experts
// share. What a tensor core adds up may come in any order of columns, as long as weights and activations agree: so each lane takes 8
// consecutive columns of two rows and of one token.
#pragma once

#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/linear_task.cuh"
#include "kernels/cuda/mma.cuh"

namespace drover::cuda {

inline constexpr int kRowsOfWarp = 16, kGatedRowsOfWarp = 8, kTokensOfTile = 8, kLanesOfRow = 4;
// Chunks of a row that a warp takes in one turn.
template <class Read>
inline constexpr int kChunksOfTurn = Chunk<Read>::kSteps * kLanesOfRow;

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

// sums ← sums + 16 rows times 8 tokens over the 8 columns of each of a row's four lanes. A lane holds rows l/4 and l/4 + 8, token l/4.
__device__ inline void MultiplyColumns(const uint4& low, const uint4& high, const uint4& values, float (&sums)[4]) {
  const unsigned first[4] = {low.x, high.x, low.y, high.y}, second[4] = {low.z, high.z, low.w, high.w};
  MultiplyTile(sums, first, values.x, values.y);
  MultiplyTile(sums, second, values.z, values.w);
}

template <class Read>
__device__ inline uint4 OpenBorder(const WeightView& weight, int64_t row, int32_t c) {
  if (c >= weight.end) return {0, 0, 0, 0};
  float w[kPiece];
  OpenPiece<Read>(weight, row, c, w);
  return BF16Piece(w);
}

// Turns [FirstTurn(part), FirstTurn(part + 1)) are a part's: which ones it has depends on the weight alone.
template <class Read>
__device__ inline int FirstTurn(const LinearTask& task, int part) {
  const int turns = (task.end_chunk - task.first_chunk + kChunksOfTurn<Read> - 1) / kChunksOfTurn<Read>;
  return turns * part / task.parts;
}
// Whether all chunks of the turn that begins with `base` can be loaded as they are.
template <class Read>
__device__ inline bool IsWholeTurn(const LinearTask& task, int base) {
  return task.in_chunks && task.weight.Whole(base * kColumns<Read>, kChunksOfTurn<Read> * kColumns<Read>);
}

// The products of 16 rows, of which this lane has `low` and `high`, with all tokens, over the lanes' 8 columns each. places: of the
// lane's token in each tile; below 0 where there is none.
template <int kTiles, class Rows>
__device__ inline void MultiplyPiece(const LinearTask& task, const Rows& x, const int32_t (&places)[kTiles], int32_t c, const uint4& low,
                                     const uint4& high, float (&sums)[kTiles][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    if (tile * kTokensOfTile >= task.tokens) break;
    MultiplyColumns(low, high, places[tile] < 0 ? uint4{0, 0, 0, 0} : x.Piece(task, places[tile], c), sums[tile]);
  }
}

// The two rows of a lane, of one weight or of two that lie alike.
struct LaneRows {
  const WeightView& low_of;
  int64_t low;
  const WeightView& high_of;
  int64_t high;
};

// The sums of a warp's part of the columns. All of a turn is loaded before any of it is used, unless it reaches over the columns that count.
template <class Read, int kTiles, class Rows>
__device__ inline void MultiplyChunks(const LinearTask& task, const Rows& x, const int32_t (&places)[kTiles], const LaneRows& rows,
                                      float (&sums)[kTiles][4]) {
  using Form = Chunk<Read>;
  constexpr int kSteps = Form::kSteps;
  const int lane = static_cast<int>(threadIdx.x) % kLanesOfRow;
  const RowAt low_at = RowOf(rows.low_of, rows.low), high_at = RowOf(rows.high_of, rows.high);
  const int end = FirstTurn<Read>(task, task.Part() + 1);
  for (int turn = FirstTurn<Read>(task, task.Part()); turn < end; ++turn) {
    const int base = task.first_chunk + turn * kChunksOfTurn<Read>;
    if (IsWholeTurn<Read>(task, base)) {
      typename Form::Raw lows[kSteps], highs[kSteps];
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const int32_t c = (base + step * kLanesOfRow + lane) * kColumns<Read>;
        lows[step] = Form::Load(rows.low_of, low_at, c);
        highs[step] = Form::Load(rows.high_of, high_at, c);
      }
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
#pragma unroll
        for (int p = 0; p < Form::kPieces; ++p)
          MultiplyPiece<kTiles>(task, x, places, (base + step * kLanesOfRow + lane) * kColumns<Read> + p * kPiece,
                                OpenRounded<Read>(lows[step], p), OpenRounded<Read>(highs[step], p), sums);
      }
    } else {
      for (int first = base; first < min(base + kChunksOfTurn<Read>, task.end_chunk); first += kLanesOfRow) {
        for (int p = 0; p < Form::kPieces; ++p) {
          const int32_t c = (first + lane) * kColumns<Read> + p * kPiece;
          MultiplyPiece<kTiles>(task, x, places, c, OpenBorder<Read>(rows.low_of, rows.low, c), OpenBorder<Read>(rows.high_of, rows.high, c),
                                sums);
        }
      }
    }
  }
}

// Of two tasks: y = act(the first's) ⊙ the second's.
struct Gating {
  bool gated = false;
  GateKind kind = {};
};

// A group of `parts` warps computes 16 rows for all tokens, or 8 of task and of `up` if they are gated, else `up` is task. Their sums are
// added up in the order of the parts. The block calls it.
template <class Read, int kTiles, class Rows>
__device__ inline void MultiplySmallBatch(const LinearTask& task, const LinearTask& up, const Gating& gating, const Rows& x) {
  __shared__ float partial[kWarps][kTiles * 4][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int row = task.RowGroup() * (gating.gated ? kGatedRowsOfWarp : kRowsOfWarp);
  if (row >= task.rows) return;
  const int low = row + lane / kLanesOfRow, high = gating.gated ? low : low + 8;
  int32_t places[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int token = tile * kTokensOfTile + lane / kLanesOfRow;
    places[tile] = token < task.tokens ? x.Place(token) : -1;
  }
  float sums[kTiles][4] = {};
  MultiplyChunks<Read, kTiles>(task, x, places, {task.weight, task.WeightRow(0, low), up.weight, task.WeightRow(0, high)}, sums);
  if (task.parts > 1) {
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i) partial[warp][i][lane] = sums[i / 4][i % 4];
    __syncthreads();
    if (task.Part() != 0) return;
#pragma unroll
    for (int i = 0; i < kTiles * 4; ++i)
      for (int part = 1; part < task.parts; ++part) sums[i / 4][i % 4] += partial[warp + part][i][lane];
  }
#pragma unroll
  for (int i = 0; i < kTiles * 2; ++i) {
    const int token = i / 2 * kTokensOfTile + lane % kLanesOfRow * 2 + i % 2;
    const float of_low = sums[i / 2][i % 2], of_high = sums[i / 2][i % 2 + 2];
    if (token >= task.tokens || low >= task.rows) continue;
    if (gating.gated) {
      task.y[token * task.y_token + low] = Activated(gating.kind, task.Biased(low, of_low)) * up.Biased(low, of_high);
      continue;
    }
    task.Put(token, 0, low, of_low);
    if (high < task.rows) task.Put(token, 0, high, of_high);
  }
}

template <class Read, int kTiles, class Rows>
__device__ inline void MultiplySmallBatch(const LinearTask& task, const Rows& x) {
  MultiplySmallBatch<Read, kTiles>(task, task, {}, x);
}

}  // namespace drover::cuda
