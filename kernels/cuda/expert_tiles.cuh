// Products of 128 rows with 64 tokens on tensor cores: a block opens weights to bf16 once for all of its tokens, in two stages of shared
// memory in turn. Columns, turns and parts are added up in the order of small_batch.cuh, so that both give a token the same bits.
#pragma once

#include "kernels/cuda/small_batch.cuh"

namespace drover::cuda {

// A warp has 32 rows and 32 tokens. A stage holds two groups of columns: 8 columns of each of a row's four lanes.
inline constexpr int kTileRows = 128, kTileTokens = 64, kSideOfWarp = 32, kGroupsOfStage = 2;
inline constexpr int kSlots = kGroupsOfStage * kLanesOfRow, kTokenWarps = kTileTokens / kSideOfWarp;
static_assert(kTileRows / kSideOfWarp * kTokenWarps == kWarps && kTileTokens * kLanesOfRow == kThreads);

struct TileStage {
  uint4 weights[kTileRows * kSlots], x[kTileTokens * kSlots];
};
// Lanes that meet the same banks are two rows apart, and these begin with different halves.
__device__ inline int SlotOf(int row, int slot) { return row * kSlots + (slot ^ row % 2 * kLanesOfRow); }

// What a thread brings: of rows t/4 and t/4 + 64 the chunks of lane t%4, of token t/4 the activations that meet them. Chunks of a turn
// to come are on their way as soon as those of the turn before are used up.
template <class Read>
struct TileLoader {
  using Form = Chunk<Read>;
  static constexpr int kSteps = Form::kSteps, kPieces = Form::kPieces, kGroups = kSteps * kPieces;
  static_assert(kGroups % kGroupsOfStage == 0);

  const LinearTask& task;
  const RoundedRows& tokens;
  int32_t place;  // of the token; below 0: none
  int64_t rows[2];
  RowAt rows_at[2];
  typename Form::Raw raws[kSteps][2];
  uint4 x[kGroupsOfStage];
  bool whole = false, next_whole = false;  // the turn at hand and the one after it

  __device__ static int At() { return static_cast<int>(threadIdx.x) / kLanesOfRow; }
  __device__ static int Lane() { return static_cast<int>(threadIdx.x) % kLanesOfRow; }

  __device__ TileLoader(const LinearTask& own, const RoundedRows& x_rows)
      : task(own), tokens(x_rows), place(At() < own.tokens ? x_rows.Place(At()) : -1) {
    const int first = static_cast<int>(blockIdx.x) * kTileRows + At();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      rows[i] = task.WeightRow(0, first + i * kTileTokens);
      rows_at[i] = RowOf(task.weight, rows[i]);
    }
    next_whole = IsWholeTurn<Read>(task, task.first_chunk);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) LoadChunks(task.first_chunk, step);
    LoadX(task.first_chunk, 0);
  }

  __device__ int32_t Column(int base, int group) const {
    return (base + group / kPieces * kLanesOfRow + Lane()) * kColumns<Read> + PieceAt<Read>(group % kPieces) * kPiece;
  }
  // Of the turn that begins with `base`, if it is whole.
  __device__ void LoadChunks(int base, int step) {
    if (!next_whole) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) raws[step][i] = Form::Load(task.weight, rows_at[i], Column(base, step * kPieces));
  }
  __device__ void LoadX(int base, int group) {
#pragma unroll
    for (int g = 0; g < kGroupsOfStage; ++g) x[g] = place < 0 ? uint4{0, 0, 0, 0} : tokens.Piece(task, place, Column(base, group + g));
  }
  __device__ void BeginTurn(int base) {
    whole = next_whole;
    next_whole = IsWholeTurn<Read>(task, base + kChunksOfTurn<Read>);
  }
  // Puts two groups of the turn into a stage and sends for what follows.
  __device__ void Put(int base, int group, TileStage& stage) {
#pragma unroll
    for (int g = 0; g < kGroupsOfStage; ++g) {
      const int step = (group + g) / kPieces, at = (group + g) % kPieces, slot = g * kLanesOfRow + Lane();
#pragma unroll
      for (int i = 0; i < 2; ++i)
        stage.weights[SlotOf(At() + i * kTileTokens, slot)] =
            whole ? OpenRounded<Read>(raws[step][i], PieceAt<Read>(at)) : OpenBorder<Read>(task.weight, rows[i], Column(base, group + g));
      stage.x[SlotOf(At(), slot)] = x[g];
      if (at == kPieces - 1) LoadChunks(base + kChunksOfTurn<Read>, step);
    }
    const bool last = group + kGroupsOfStage == kGroups;
    LoadX(last ? base + kChunksOfTurn<Read> : base, last ? 0 : group + kGroupsOfStage);
  }
};

// A warp's products over a stage.
__device__ inline void MultiplyStage(const TileStage& stage, int row, int token, int tokens, float (&sums)[2][4][4]) {
  const int lane = threadIdx.x % kWarp, of = lane / kLanesOfRow;
#pragma unroll
  for (int g = 0; g < kGroupsOfStage; ++g) {
    const int slot = g * kLanesOfRow + lane % kLanesOfRow;
    uint4 low[2], high[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      low[i] = stage.weights[SlotOf(row + i * kBandRows + of, slot)];
      high[i] = stage.weights[SlotOf(row + i * kBandRows + of + 8, slot)];
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (token + j * kTokensOfTile >= tokens) break;
      const uint4 x = stage.x[SlotOf(token + j * kTokensOfTile + of, slot)];
#pragma unroll
      for (int i = 0; i < 2; ++i) MultiplyColumns(low[i], high[i], x, sums[i][j]);
    }
  }
}

// The block's rows for all tokens of the task, at most kTileTokens.
template <class Read>
__device__ inline void MultiplyTiles(const LinearTask& task, const RoundedRows& tokens) {
  __shared__ TileStage stages[2];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int row = warp / kTokenWarps * kSideOfWarp, token = warp % kTokenWarps * kSideOfWarp;  // in the tile
  TileLoader<Read> loader(task, tokens);
  float sums[2][4][4] = {}, totals[2][4][4] = {};
  int stage = 0;
  for (int part = 0; part < task.Parts(); ++part) {
    const int end = FirstTurn<Read>(task, part + 1);
    for (int turn = FirstTurn<Read>(task, part); turn < end; ++turn) {
      const int base = task.first_chunk + turn * kChunksOfTurn<Read>;
      loader.BeginTurn(base);
#pragma unroll
      for (int group = 0; group < TileLoader<Read>::kGroups; group += kGroupsOfStage) {
        loader.Put(base, group, stages[stage]);
        __syncthreads();  // the stage is there, and nobody reads the other one any more
        MultiplyStage(stages[stage], row, token, task.tokens, sums);
        stage = 1 - stage;
      }
    }
#pragma unroll
    for (int i = 0; i < 2 * 4 * 4; ++i) {
      float &sum = sums[i / 16][i / 4 % 4][i % 4], &total = totals[i / 16][i / 4 % 4][i % 4];
      total = part == 0 ? sum : total + sum;
      sum = 0;
    }
  }
#pragma unroll
  for (int i = 0; i < 2 * 4 * 4; ++i) {
    const int of = static_cast<int>(blockIdx.x) * kTileRows + row + i / 16 * kBandRows + lane / kLanesOfRow + i % 4 / 2 * 8;
    const int t = token + i / 4 % 4 * kTokensOfTile + lane % kLanesOfRow * 2 + i % 2;
    if (of < task.rows && t < task.tokens) task.Put(t, 0, of, totals[i / 16][i / 4 % 4][i % 4]);
  }
}

}  // namespace drover::cuda
