// The loops of paged attention over the lanes L of one instruction set. Lanes are anchored to absolute key positions, so a query's
// result does not depend on the queries beside it.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/lane_math.h"

namespace drover::cpu {

struct KeyRange {
  int64_t first, last;
};

inline KeyRange RangeOf(const AttendTile& tile) {
  KeyRange range{tile.first[0], tile.last[0]};
  for (int64_t i = 1; i < tile.queries; ++i) {
    if (tile.first[i] < range.first) range.first = tile.first[i];
    if (tile.last[i] > range.last) range.last = tile.last[i];
  }
  return range;
}

// Walks the keys of [first, last] block by block: body(offset of the first key, its position, keys in a row).
template <class Body>
inline void ForEachRun(const AttendTile& tile, KeyRange range, const Body& body) {
  for (int64_t key = range.first; key <= range.last;) {
    const int64_t in_block = key % tile.block_tokens;
    int64_t run = tile.block_tokens - in_block;
    if (run > range.last - key + 1) run = range.last - key + 1;
    body((tile.blocks[key / tile.block_tokens] * tile.block_tokens + in_block) * tile.token_stride, key, run);
    key += run;
  }
}

// Scores of Q queries against 4 keys: scale·q·k. Key pointers beyond `count` repeat the last one.
template <class L, int Q, class T>
inline void ScoreKeys(const AttendTile& tile, const T* keys, int64_t count, int64_t column) {
  using V = typename L::V;
  const T* k[4];
  for (int64_t j = 0; j < 4; ++j) k[j] = keys + (j < count ? j : count - 1) * tile.token_stride;
  V sum[Q][4];
#pragma GCC unroll 4
  for (int i = 0; i < Q; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sum[i][j] = L::Zero();
  int64_t d = 0;
  for (; d + L::kWidth <= tile.head_dim; d += L::kWidth) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const V key = LoadCached<L>(k[j] + d);
#pragma GCC unroll 4
      for (int i = 0; i < Q; ++i) sum[i][j] = L::Fma(L::Load(tile.q[i] + d), key, sum[i][j]);
    }
  }
  for (int j = 0; d < tile.head_dim && j < 4; ++j) {
    const V key = LoadCachedPart<L>(k[j] + d, tile.head_dim - d);
    for (int i = 0; i < Q; ++i) sum[i][j] = L::Fma(L::LoadPart(tile.q[i] + d, tile.head_dim - d), key, sum[i][j]);
  }
  for (int i = 0; i < Q; ++i) {
    float sums[4];
    L::Sum4(sum[i][0], sum[i][1], sum[i][2], sum[i][3], sums);
    for (int64_t j = 0; j < count; ++j) tile.scores[i * tile.score_stride + column + j] = sums[j] * tile.scale;
  }
}

// The soft cap on the scores of query i, then the bias of each key. `base` is the key of column 0.
template <class L>
inline void AdjustScores(const AttendTile& tile, int i, int64_t base) {
  using V = typename L::V;
  float* scores = tile.scores + i * tile.score_stride;
  const int64_t first = tile.first[i] - base, last = tile.last[i] - base;
  if (tile.softcap > 0) {
    const V cap = L::Set(tile.softcap);
    for (int64_t j = first / L::kWidth * L::kWidth; j <= last; j += L::kWidth)
      L::Store(scores + j, L::Mul(cap, Tanh<L>(L::Div(L::Load(scores + j), cap))));
  }
  if (tile.slope[i] == 0) return;
  for (int64_t j = first; j <= last; ++j)
    scores[j] += AttentionShape::Bias(tile.slope[i], tile.bias_factor, tile.bias_rounded, base + j, tile.last[i]);
}

// scores ← exp(scores - max) inside [first, last] and 0 elsewhere in [0, width); returns their sum and the sink's share of it.
template <class L>
inline float SoftmaxRow(float* scores, int64_t first, int64_t last, int64_t width, float sink) {
  using V = typename L::V;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  for (int64_t j = 0; j < first; ++j) scores[j] = kNone;
  for (int64_t j = last + 1; j < width; ++j) scores[j] = kNone;
  V max = L::Set(sink);
  for (int64_t j = 0; j < width; j += L::kWidth) max = L::Max(max, L::Load(scores + j));
  const float highest = L::MaxAcross(max);
  const V top = L::Set(highest);
  V sum = L::Zero();
  for (int64_t j = 0; j < width; j += L::kWidth) {
    const V e = Exp<L>(L::Sub(L::Load(scores + j), top));
    L::Store(scores + j, e);
    sum = L::Add(sum, e);
  }
  float sums[4];
  L::Sum4(sum, sum, sum, sum, sums);
  return sums[0] + std::exp(sink - highest);
}

// y[i, d…d+D·width) = Σ_j p[i,j]·V[j, d…] / sum[i], keys in order.
template <class L, class T, int Q, int D>
inline void WeighValues(const AttendTile& tile, KeyRange range, int64_t base, int64_t d, const float* sums) {
  using V = typename L::V;
  V total[Q][D];
#pragma GCC unroll 4
  for (int i = 0; i < Q; ++i)
#pragma GCC unroll 4
    for (int p = 0; p < D; ++p) total[i][p] = L::Zero();
  ForEachRun(tile, range, [&](int64_t offset, int64_t key, int64_t run) __attribute__((always_inline)) {
    const T* values = reinterpret_cast<const T*>(tile.values) + offset + d;
    const float* weights = tile.scores + key - base;
    for (int64_t j = 0; j < run; ++j, values += tile.token_stride) {
      V v[D];
#pragma GCC unroll 4
      for (int p = 0; p < D; ++p) v[p] = LoadCached<L>(values + p * L::kWidth);
#pragma GCC unroll 4
      for (int i = 0; i < Q; ++i) {
        const V weight = L::Set(weights[i * tile.score_stride + j]);
#pragma GCC unroll 4
        for (int p = 0; p < D; ++p) total[i][p] = L::Fma(weight, v[p], total[i][p]);
      }
    }
  });
  for (int i = 0; i < Q; ++i)
    for (int p = 0; p < D; ++p) L::Store(tile.y[i] + d + p * L::kWidth, L::Div(total[i][p], L::Set(sums[i])));
}

// The same for the last, partial vector of a head.
template <class L, class T>
inline void WeighTail(const AttendTile& tile, KeyRange range, int64_t base, int64_t d, const float* sums) {
  const int64_t rest = tile.value_dim - d;
  const T* values = reinterpret_cast<const T*>(tile.values) + d;
  for (int64_t i = 0; i < tile.queries; ++i) {
    typename L::V total = L::Zero();
    ForEachRun(tile, range, [&](int64_t offset, int64_t key, int64_t run) {
      for (int64_t j = 0; j < run; ++j)
        total = L::Fma(L::Set(tile.scores[i * tile.score_stride + key - base + j]),
                       LoadCachedPart<L>(values + offset + j * tile.token_stride, rest), total);
    });
    L::StorePart(tile.y[i] + d, L::Div(total, L::Set(sums[i])), rest);
  }
}

template <class L, class T, int Q>
void AttendQueries(const AttendTile& tile) {
  const KeyRange range = RangeOf(tile);
  const int64_t base = range.first / kStride * kStride;
  const int64_t width = RoundUp(range.last + 1 - base, kStride);
  const T* keys = reinterpret_cast<const T*>(tile.keys);
  ForEachRun(tile, range, [&](int64_t offset, int64_t key, int64_t run) __attribute__((always_inline)) {
    for (int64_t j = 0; j < run; j += 4)
      ScoreKeys<L, Q>(tile, keys + offset + j * tile.token_stride, run - j < 4 ? run - j : 4, key + j - base);
  });
  for (int i = 0; i < Q; ++i) AdjustScores<L>(tile, i, base);
  float sums[kQueriesMax] = {};
  for (int i = 0; i < Q; ++i)
    sums[i] = SoftmaxRow<L>(tile.scores + i * tile.score_stride, tile.first[i] - base, tile.last[i] - base, width, tile.sink[i]);
  int64_t d = 0;
  for (; d + 4 * L::kWidth <= tile.value_dim; d += 4 * L::kWidth) WeighValues<L, T, Q, 4>(tile, range, base, d, sums);
  for (; d + L::kWidth <= tile.value_dim; d += L::kWidth) WeighValues<L, T, Q, 1>(tile, range, base, d, sums);
  if (d < tile.value_dim) WeighTail<L, T>(tile, range, base, d, sums);
}

template <class L, class T>
void AttendCached(const AttendTile& tile) {
  constexpr void (*kByQueries[])(const AttendTile&) = {AttendQueries<L, T, 1>, AttendQueries<L, T, 2>, AttendQueries<L, T, 3>,
                                                       AttendQueries<L, T, 4>};
  if (tile.queries > 0) kByQueries[tile.queries - 1](tile);
}

template <class L>
void Attend(const AttendTile& tile) {
  if (tile.type == DType::kBF16)
    AttendCached<L, uint16_t>(tile);
  else
    AttendCached<L, float>(tile);
}

}  // namespace drover::cpu
