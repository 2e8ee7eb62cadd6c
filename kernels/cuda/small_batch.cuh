// Products of bands of 16 rows with few tokens on tensor cores, straight from a weight's storage form: what the kernels of Linear and of experts
// share. What a tensor core adds up may come in any order of columns, as long as weights and activations agree: so each lane takes 8
// consecutive columns of two rows and of one token.
#pragma once

#include "kernels/cuda/activation_rows.cuh"
#include "kernels/cuda/gate.cuh"
#include "kernels/cuda/mma.cuh"

namespace drover::cuda {

inline constexpr int kBandRows = 16, kTokensOfTile = 8, kLanesOfRow = 4;
template <class Read>
inline constexpr int kRowsOfWarp = kBandRows * Chunk<Read>::kBands;
// Chunks of a row that a warp takes in one turn.
template <class Read>
inline constexpr int kChunksOfTurn = Chunk<Read>::kSteps * kLanesOfRow;

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
  return turns * part >> task.part_shift;
}
// Whether all chunks of the turn that begins with `base` can be loaded as they are.
template <class Read>
__device__ inline bool IsWholeTurn(const LinearTask& task, int base) {
  return task.in_chunks && task.weight.Whole(base * kColumns<Read>, kChunksOfTurn<Read> * kColumns<Read>);
}

// The two rows of a lane in each band, of one weight or of two that lie alike.
template <int kBands>
struct LaneRows {
  const WeightView& low_of;
  const WeightView& high_of;
  int64_t low[kBands], high[kBands];
  RowAt low_at[kBands], high_at[kBands];
};
// 8 columns of them.
template <int kBands>
struct LaneValues {
  uint4 low[kBands], high[kBands];
};

// The products of a warp's rows with all tokens, over the lanes' 8 columns each. places: of the lane's token in each tile; below 0 where
// there is none.
template <int kTiles, int kBands, class Rows>
__device__ inline void MultiplyPiece(const LinearTask& task, const Rows& x, const int32_t (&places)[kTiles], int32_t c,
                                     const LaneValues<kBands>& values, float (&sums)[kTiles][kBands][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    if (tile * kTokensOfTile >= task.tokens) break;
    const uint4 of_token = places[tile] < 0 ? uint4{0, 0, 0, 0} : x.Piece(task, places[tile], c);
#pragma unroll
    for (int band = 0; band < kBands; ++band) MultiplyColumns(values.low[band], values.high[band], of_token, sums[tile][band]);
  }
}

// A turn whose chunks can be loaded as they are: all of it is loaded before any is used.
template <class Read, int kTiles, int kBands, class Rows>
__device__ inline void MultiplyWholeTurn(const LinearTask& task, const Rows& x, const int32_t (&places)[kTiles], const LaneRows<kBands>& rows,
                                         int first, float (&sums)[kTiles][kBands][4]) {
  using Form = Chunk<Read>;
  typename Form::Raw lows[Form::kSteps][kBands], highs[Form::kSteps][kBands];
#pragma unroll
  for (int i = 0; i < Form::kSteps * kBands; ++i) {
    const int step = i / kBands, band = i % kBands;
    const int32_t c = (first + step * kLanesOfRow) * kColumns<Read>;
    lows[step][band] = Form::Load(rows.low_of, rows.low_at[band], c);
    highs[step][band] = Form::Load(rows.high_of, rows.high_at[band], c);
  }
#pragma unroll
  for (int i = 0; i < Form::kSteps * Form::kPieces; ++i) {
    const int step = i / Form::kPieces, piece = PieceAt<Read>(i % Form::kPieces);
    LaneValues<kBands> values;
#pragma unroll
    for (int band = 0; band < kBands; ++band) {
      values.low[band] = OpenRounded<Read>(lows[step][band], piece);
      values.high[band] = OpenRounded<Read>(highs[step][band], piece);
    }
    MultiplyPiece(task, x, places, (first + step * kLanesOfRow) * kColumns<Read> + piece * kPiece, values, sums);
  }
}

// The sums of a warp's part of the columns.
template <class Read, int kTiles, int kBands, class Rows>
__device__ inline void MultiplyChunks(const LinearTask& task, const Rows& x, const int32_t (&places)[kTiles], const LaneRows<kBands>& rows,
                                      float (&sums)[kTiles][kBands][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kLanesOfRow;
  const int end = FirstTurn<Read>(task, task.Part() + 1);
  for (int turn = FirstTurn<Read>(task, task.Part()); turn < end; ++turn) {
    const int base = task.first_chunk + turn * kChunksOfTurn<Read>;
    if (IsWholeTurn<Read>(task, base)) {
      MultiplyWholeTurn<Read>(task, x, places, rows, base + lane, sums);
      continue;
    }
    for (int first = base; first < min(base + kChunksOfTurn<Read>, task.end_chunk); first += kLanesOfRow) {
      for (int p = 0; p < Chunk<Read>::kPieces; ++p) {
        const int32_t c = (first + lane) * kColumns<Read> + PieceAt<Read>(p) * kPiece;
        LaneValues<kBands> values;
#pragma unroll
        for (int band = 0; band < kBands; ++band) {
          values.low[band] = OpenBorder<Read>(rows.low_of, rows.low[band], c);
          values.high[band] = OpenBorder<Read>(rows.high_of, rows.high[band], c);
        }
        MultiplyPiece(task, x, places, c, values, sums);
      }
    }
  }
}

// Of two tasks: y = act(the first's) ⊙ the second's.
struct Gating {
  bool gated = false;
  GateKind kind = {};
};

// A group of Parts() warps computes kRowsOfWarp rows for all tokens, or half as many of task and of `up` if they are gated, else `up` is
// task. Their sums are added up in the order of the parts. The block calls it.
template <class Read, int kTiles, class Rows>
__device__ inline void MultiplySmallBatch(const LinearTask& task, const LinearTask& up, const Gating& gating, const Rows& x) {
  constexpr int kBands = Chunk<Read>::kBands, kSums = kTiles * kBands * 4;
  __shared__ float partial[kWarps][kSums][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int band_rows = gating.gated ? kBandRows / 2 : kBandRows;
  const int first = task.RowGroup() * band_rows * kBands;
  if (first >= task.rows) return;
  const int own = first + lane / kLanesOfRow, above = gating.gated ? 0 : kBandRows / 2;
  LaneRows<kBands> rows{task.weight, up.weight};
#pragma unroll
  for (int band = 0; band < kBands; ++band) {
    rows.low[band] = task.WeightRow(0, own + band * band_rows);
    rows.high[band] = task.WeightRow(0, own + band * band_rows + above);
    rows.low_at[band] = RowOf(task.weight, rows.low[band]);
    rows.high_at[band] = RowOf(up.weight, rows.high[band]);
  }
  int32_t places[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int token = tile * kTokensOfTile + lane / kLanesOfRow;
    places[tile] = token < task.tokens ? x.Place(token) : -1;
  }
  float sums[kTiles][kBands][4] = {};
  MultiplyChunks<Read>(task, x, places, rows, sums);
  if (task.Parts() > 1) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) partial[warp][i][lane] = sums[i / 4 / kBands][i / 4 % kBands][i % 4];
    __syncthreads();
    if (task.Part() != 0) return;
#pragma unroll
    for (int i = 0; i < kSums; ++i)
      for (int part = 1; part < task.Parts(); ++part) sums[i / 4 / kBands][i / 4 % kBands][i % 4] += partial[warp + part][i][lane];
  }
#pragma unroll
  for (int i = 0; i < kSums / 2; ++i) {
    const float(&of)[4] = sums[i / 2 / kBands][i / 2 % kBands];
    const int token = i / 2 / kBands * kTokensOfTile + lane % kLanesOfRow * 2 + i % 2, low = own + i / 2 % kBands * band_rows;
    if (token >= task.tokens || low >= task.rows) continue;
    if (gating.gated) {
      task.y[token * task.y_token + low] = Activated(gating.kind, task.Biased(low, of[i % 2])) * up.Biased(low, of[i % 2 + 2]);
      continue;
    }
    task.Put(token, 0, low, of[i % 2]);
    if (low + above < task.rows) task.Put(token, 0, low + above, of[i % 2 + 2]);
  }
}

template <class Read, int kTiles, class Rows>
__device__ inline void MultiplySmallBatch(const LinearTask& task, const Rows& x) {
  MultiplySmallBatch<Read, kTiles>(task, task, {}, x);
}

}  // namespace drover::cuda
