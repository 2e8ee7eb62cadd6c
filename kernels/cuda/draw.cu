// Draw and ScoreDrawn: one block for each row of logits. Weights are whole numbers (2^40 for the best), so that sums do not depend on their
// order, and what is kept is found by halving the range of values, eight ways at a time: nothing is sorted.
#include <cfloat>

#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int kDrawThreads = 512, kDrawWarps = kDrawThreads / kWarp;
constexpr float kBest = 0x1p40f;  // the weight of the best; 2^23 of them can be added up
constexpr int kWays = 8, kWayBits = 3;

// Unsigned numbers in the order of the floats.
__device__ inline uint32_t KeyOf(float x) {
  const uint32_t bits = __float_as_uint(x == 0 ? 0.0f : x);  // both zeros are one value
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ inline float ValueOf(uint32_t key) { return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key); }

// What of a row may still be drawn: keys above `key`, and the first `ties` ids with that key.
struct Kept {
  uint32_t key;
  uint64_t ties;
};

struct Row {
  const float* x;
  int32_t n;
  float max, per_temperature;
  uint64_t least = 0;  // weights below it count nothing

  __device__ uint64_t Weight(float value) const {
    const auto weight = static_cast<uint64_t>(expf((value - max) * per_temperature) * kBest);
    return weight < least ? 0 : weight;
  }
  __device__ uint64_t WeightOf(uint32_t key) const { return Weight(ValueOf(key)); }

  // Σ over values with keys above `key` of what they weigh, or of ones.
  template <bool kCount>
  __device__ uint64_t Above(uint32_t key) const {
    uint64_t sum = 0;
    for (int32_t i = threadIdx.x; i < n; i += kDrawThreads)
      if (KeyOf(x[i]) > key) sum += kCount ? 1 : Weight(x[i]);
    return BlockSum(sum);
  }

  // The largest key such that what is kept of keys from it on sums up to `target` at least; all that is kept must.
  template <bool kCount>
  __device__ uint32_t Select(const Kept& kept, uint64_t target) const {
    const uint64_t tied = kept.ties * (kCount ? 1 : WeightOf(kept.key));
    uint32_t base = 0;
    for (int shift = 32 - kWayBits;; shift = shift > kWayBits ? shift - kWayBits : 0) {
      uint64_t sums[kWays - 1] = {};
      for (int32_t i = threadIdx.x; i < n; i += kDrawThreads) {
        const uint32_t key = KeyOf(x[i]);
        if (key <= kept.key || key < base) continue;
        const uint64_t value = kCount ? 1 : Weight(x[i]);
        const uint32_t way = (key - base) >> shift;  // what is above all ways counts for each
#pragma unroll
        for (uint32_t j = 1; j < kWays; ++j)
          if (way >= j) sums[j - 1] += value;
      }
      uint32_t chosen = 0;
#pragma unroll
      for (uint32_t j = 1; j < kWays; ++j) {
        const uint64_t from = uint64_t{base} + (uint64_t{j} << shift);
        const uint64_t sum = BlockSum(sums[j - 1]) + (from <= kept.key ? tied : 0);
        if (from <= 0xffffffffu && sum >= target) chosen = j;
      }
      base += chosen << shift;
      if (shift == 0) break;
    }
    return base;
  }

  // Of what `measure` says of each value, in order of ids: the id at which the running sum passes `left`; threads take runs of ids.
  template <class Measure>
  __device__ int32_t Passing(uint64_t left, const Measure& measure) const {
    __shared__ uint64_t runs[kDrawThreads];
    __shared__ int32_t found;
    const int32_t each = (n + kDrawThreads - 1) / kDrawThreads, begin = min(n, each * static_cast<int32_t>(threadIdx.x));
    const int32_t end = min(n, begin + each);
    uint64_t own = 0;
    for (int32_t i = begin; i < end; ++i) own += measure(x[i]);
    runs[threadIdx.x] = own;
    if (threadIdx.x == 0) found = n - 1;
    __syncthreads();
    uint64_t before = 0;
    for (unsigned t = 0; t < threadIdx.x; ++t) before += runs[t];
    if (before <= left && left < before + own) {
      for (int32_t i = begin; i < end; ++i) {
        before += measure(x[i]);
        if (left >= before) continue;
        found = i;
        break;
      }
    }
    __syncthreads();
    return found;
  }
  __device__ int32_t NthOf(uint32_t key, uint64_t index) const {
    return Passing(index, [key](float value) -> uint64_t { return KeyOf(value) == key; });
  }
};

__device__ inline void KeepTopK(const Row& row, uint64_t k, uint32_t none, Kept& kept) {
  if (row.Above<true>(none) <= k) return;
  const uint32_t key = row.Select<true>(kept, k);
  kept = {key, k - row.Above<true>(key)};
}

// The fewest best whose weights reach p of all that is kept.
__device__ inline void KeepTopP(const Row& row, double p, uint64_t total, Kept& kept) {
  const double wanted = p * static_cast<double>(total);
  uint64_t target = static_cast<uint64_t>(wanted);
  if (static_cast<double>(target) < wanted || target == 0) ++target;
  if (target > total) target = total;
  const uint32_t key = row.Select<false>(kept, target);
  const uint64_t missing = target - row.Above<false>(key), weight = row.WeightOf(key);
  const uint64_t ties = weight == 0 ? 0 : (missing + weight - 1) / weight;
  kept = {key, key == kept.key && ties > kept.ties ? kept.ties : ties};
}

// Ids that are not allowed become -inf. The largest value then, in every thread; NaN where one was NaN or +inf before.
__device__ inline float Largest(std::span<const uint32_t> allowed, int32_t n, float* x) {
  float best = -INFINITY, bad = 0;
  for (int32_t i = threadIdx.x; i < n; i += kDrawThreads) {
    if (!(x[i] < INFINITY)) bad = 1;
    if (!Allows(allowed, static_cast<uint32_t>(i))) x[i] = -INFINITY;
    best = fmaxf(best, x[i]);
  }
  __shared__ float bests[kDrawWarps], bads[kDrawWarps];
  best = WarpMax(best);
  bad = WarpMax(bad);
  if (threadIdx.x % kWarp == 0) bests[threadIdx.x / kWarp] = best, bads[threadIdx.x / kWarp] = bad;
  __syncthreads();
  for (int warp = 0; warp < kDrawWarps; ++warp) {
    best = fmaxf(best, bests[warp]);
    bad = fmaxf(bad, bads[warp]);
  }
  return bad > 0 ? NAN : best;
}

__device__ inline int32_t DrawFrom(Row row, const DrawRule& rule) {
  const uint32_t none = KeyOf(-INFINITY);
  Kept kept{none, 0};
  if (rule.top_k > 0) KeepTopK(row, static_cast<uint64_t>(rule.top_k), none, kept);
  const auto total = [&] { return row.Above<false>(kept.key) + kept.ties * row.WeightOf(kept.key); };
  if (rule.top_p < 1) KeepTopP(row, rule.top_p, total(), kept);
  row.least = static_cast<uint64_t>(rule.min_p * kBest);
  const uint64_t all = total();
  uint64_t at = static_cast<uint64_t>(rule.uniform * static_cast<double>(all));
  if (at >= all) at = all - 1;
  if (rule.top_k == 0 && rule.top_p >= 1) return row.Passing(at, [&row](float value) { return row.Weight(value); });
  const uint32_t key = row.Select<false>(kept, at + 1);
  return row.NthOf(key, (at - row.Above<false>(key)) / row.WeightOf(key));
}

// No two edits have the same id, so each logit is one thread's.
__device__ inline void Edit(std::span<const LogitEdit> edits, int32_t n, float* x) {
  for (size_t i = threadIdx.x; i < edits.size(); i += kDrawThreads) {
    const LogitEdit edit = edits.data()[i];
    if (edit.id >= 0 && edit.id < n) x[edit.id] = Edited(edit, x[edit.id]);
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kDrawThreads) DrawRows(float* logits, int32_t n, const TokenDraw* draws, int32_t* ids) {
  float* x = logits + int64_t{blockIdx.x} * n;
  const DrawRule rule = draws[blockIdx.x].rule;
  Edit(draws[blockIdx.x].edits, n, x);
  const float max = Largest(draws[blockIdx.x].allowed, n, x);
  int32_t id = kNothingToDraw;
  if (!(max < INFINITY))
    id = kNotFinite;
  else if (max > -INFINITY)
    id = rule.temperature == 0 ? Row{x, n, max, 1}.NthOf(KeyOf(max), 0)
                               : DrawFrom({x, n, max, fminf(static_cast<float>(1 / rule.temperature), FLT_MAX)}, rule);
  if (threadIdx.x == 0) ids[blockIdx.x] = id;
}

// The ids of the best `count` of a row, at most kScoresMax, in any order.
__device__ inline const int32_t* Best(const Row& row, int32_t count) {
  __shared__ int32_t best[kScoresMax];
  __shared__ int found;
  const uint32_t key = row.Select<true>({0, 0}, static_cast<uint64_t>(count));
  const int32_t last = row.NthOf(key, static_cast<uint64_t>(count) - row.Above<true>(key) - 1);  // of equal ones the first are kept
  if (threadIdx.x == 0) found = 0;
  __syncthreads();
  for (int32_t i = threadIdx.x; i < row.n; i += kDrawThreads)
    if (KeyOf(row.x[i]) > key || (KeyOf(row.x[i]) == key && i <= last)) best[atomicAdd(&found, 1)] = i;
  __syncthreads();
  return best;
}

__global__ void __launch_bounds__(kDrawThreads)
    ScoreRows(float* logits, int32_t n, const TokenDraw* draws, const int32_t* ids, RowScores* scores) {
  float* x = logits + int64_t{blockIdx.x} * n;
  RowScores& out = scores[blockIdx.x];
  const int32_t id = ids[blockIdx.x], wanted = draws[blockIdx.x].scores, count = min(wanted, min(n, kScoresMax));
  if (threadIdx.x == 0) out.count = id < 0 ? -1 : count;
  if (wanted < 0 || id < 0) return;
  const float max = Largest({}, n, x);
  double sum = 0;
  for (int32_t i = threadIdx.x; i < n; i += kDrawThreads) sum += exp(double{x[i]} - max);
  const double log_sum_exp = max + log(BlockSum(sum));
  if (threadIdx.x == 0) out.logprob = static_cast<float>(x[id] - log_sum_exp);
  if (count == 0) return;
  const int32_t* best = Best({x, n, max, 1}, count);
  if (threadIdx.x >= static_cast<unsigned>(count)) return;
  const int32_t own = best[threadIdx.x];
  int32_t place = 0;
  for (int32_t i = 0; i < count; ++i) place += x[best[i]] > x[own] || (x[best[i]] == x[own] && best[i] < own);
  out.best[place] = {own, static_cast<float>(x[own] - log_sum_exp)};
}

}  // namespace
}  // namespace cuda

void CudaOps::Draw(Tensor logits, std::span<const TokenDraw> draws, std::span<int32_t> ids) {
  DROVER_CHECK(static_cast<int64_t>(draws.size()) == logits.rows && draws.size() == ids.size());
  if (logits.rows == 0) return;
  cuda::DrawRows<<<cuda::Blocks(logits.rows, 1), cuda::kDrawThreads, 0, device_->stream()>>>(logits.data, static_cast<int32_t>(logits.cols),
                                                                                            draws.data(), ids.data());
  device_->Launched("Draw");
}

void CudaOps::ScoreDrawn(Tensor logits, std::span<const TokenDraw> draws, std::span<const int32_t> ids, std::span<RowScores> scores) {
  DROVER_CHECK(static_cast<int64_t>(draws.size()) == logits.rows && draws.size() == ids.size() && draws.size() == scores.size());
  if (logits.rows == 0) return;
  cuda::ScoreRows<<<cuda::Blocks(logits.rows, 1), cuda::kDrawThreads, 0, device_->stream()>>>(logits.data, static_cast<int32_t>(logits.cols),
                                                                                             draws.data(), ids.data(), scores.data());
  device_->Launched("ScoreDrawn");
}

}  // namespace drover
