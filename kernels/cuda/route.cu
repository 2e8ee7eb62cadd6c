// Routing, and the rows that travel to experts and back; rotations and factors of rows; columns of heads.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int64_t kExpertsMax = 2048;  // in shared memory: two floats each, and for their groups as many

struct RouteTask {
  RouteRule rule;
  const float* logits = nullptr;
  int32_t count = 0;  // of experts
  int32_t* experts = nullptr;
  float* weights = nullptr;
};

// The index of the largest of n values, ties to the lowest, in every lane of the one warp; the value is taken out.
__device__ int32_t TakeBest(float* values, int32_t n) {
  const int32_t lane = threadIdx.x;
  float best = lane < n ? values[lane] : -INFINITY;
  int32_t index = lane < n ? lane : n;
  for (int32_t i = lane + kWarp; i < n; i += kWarp) {
    if (values[i] <= best) continue;
    best = values[i];
    index = i;
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, best, step);
    const int32_t other_index = __shfl_xor_sync(kAllLanes, index, step);
    if (other < best || (other == best && other_index > index)) continue;
    best = other;
    index = other_index;
  }
  index = __shfl_sync(kAllLanes, min(index, n - 1), 0);
  __syncwarp();
  if (lane == 0) values[index] = -INFINITY;
  __syncwarp();
  return index;
}

// s ← softmax(s), or sigmoid(s); each lane its own experts.
__device__ void ScoreExperts(RouteScore score, float* s, int32_t n) {
  if (score == RouteScore::kSigmoid)
    for (int32_t i = threadIdx.x; i < n; i += kWarp) s[i] = 1 / (1 + expf(-s[i]));
  if (score != RouteScore::kSoftmax) return;
  float best = -INFINITY, sum = 0;
  for (int32_t i = threadIdx.x; i < n; i += kWarp) best = fmaxf(best, s[i]);
  best = WarpMax(best);
  for (int32_t i = threadIdx.x; i < n; i += kWarp) sum += s[i] = expf(s[i] - best);
  sum = WarpSum(sum);
  for (int32_t i = threadIdx.x; i < n; i += kWarp) s[i] /= sum;
}

// Takes the experts of all but the best groups out of the choice; a group counts by its best score or by the sum of its best two.
// `scores` is room for two floats a group.
__device__ void KeepGroups(const RouteRule& rule, float* choice, int32_t n, float* scores) {
  const int32_t groups = static_cast<int32_t>(rule.groups), size = n / groups;
  float* kept = scores + groups;
  for (int32_t g = threadIdx.x; g < groups; g += kWarp) {
    float best = -INFINITY, second = -INFINITY;
    for (int32_t i = g * size; i < (g + 1) * size; ++i) {
      second = fmaxf(second, fminf(best, choice[i]));
      best = fmaxf(best, choice[i]);
    }
    scores[g] = rule.best_two ? best + second : best;
    kept[g] = 0;
  }
  __syncwarp();
  for (int64_t k = 0; k < rule.kept_groups; ++k) {
    const int32_t best = TakeBest(scores, groups);
    if (threadIdx.x == 0) kept[best] = 1;
  }
  __syncwarp();
  for (int32_t i = threadIdx.x; i < n; i += kWarp)
    if (kept[i / size] == 0) choice[i] = -INFINITY;
  __syncwarp();
}

// The best experts of a token and their weights; one warp for each token.
__global__ void __launch_bounds__(kWarp) RouteTokens(const RouteTask task) {
  extern __shared__ float scores[];  // then the choice, then what KeepGroups needs
  const RouteRule& rule = task.rule;
  const int32_t n = task.count, active = static_cast<int32_t>(rule.active);
  float* choice = scores + n;
  const int64_t first = int64_t{blockIdx.x} * active;
  for (int32_t i = threadIdx.x; i < n; i += kWarp) scores[i] = task.logits[int64_t{blockIdx.x} * n + i];
  ScoreExperts(rule.score, scores, n);
  for (int32_t i = threadIdx.x; i < n; i += kWarp) choice[i] = scores[i] + (rule.choice_bias.empty() ? 0 : rule.choice_bias.data()[i]);
  __syncwarp();
  if (rule.kept_groups < rule.groups) KeepGroups(rule, choice, n, choice + n);
  float sum = 1e-20f;
  for (int32_t k = 0; k < active; ++k) {
    const int32_t expert = TakeBest(choice, n);
    const float score = scores[expert], weight = rule.score == RouteScore::kSigmoidOfLogits ? 1 / (1 + expf(-score)) : score;
    sum += weight;
    if (threadIdx.x != 0) continue;
    task.experts[first + k] = expert;
    task.weights[first + k] = weight;
  }
  const float scale = rule.renormalise ? rule.scale / sum : rule.scale;
  if (threadIdx.x != 0) return;
  for (int32_t k = 0; k < active; ++k) task.weights[first + k] *= scale;
}

struct Gathered {
  const float* x;
  const int32_t* rows;
  float* y;
  int64_t cols;
  __device__ void operator()(int64_t i) const { y[i] = x[rows[i / cols] * cols + i % cols]; }
};
struct Scattered {
  const float* x;
  const int32_t* rows;
  const float* weights;
  float* out;
  int64_t cols;
  __device__ void operator()(int64_t i) const {
    float& to = out[rows[i / cols] * cols + i % cols];
    to = fmaf(weights[i / cols], x[i], to);
  }
};
struct FactoredRows {
  const float* factors;
  float* x;
  int64_t cols;
  __device__ void operator()(int64_t i) const { x[i] *= factors[i / cols]; }
};
// (a, b) ← (a·cos - b·sin, b·cos + a·sin), for pair i of all pairs.
struct Turned {
  const float *cos, *sin;
  float* x;
  int64_t pairs, heads, head_dim, stride, partner;
  __device__ void operator()(int64_t i) const {
    const int64_t pair = i % pairs, t = i / (pairs * heads);
    float* at = x + i / pairs * head_dim + pair * stride;  // rows are whole heads
    const float c = cos[t * pairs + pair], s = sin[t * pairs + pair], a = at[0], b = at[partner];
    at[0] = a * c - b * s;
    at[partner] = b * c + a * s;
  }
};
struct CopiedHeads {
  const float* x;
  float* y;
  int64_t x_width, y_width, from, to, count;  // widths of a head; rows are whole heads
  __device__ void operator()(int64_t i) const { y[i / count * y_width + to + i % count] = x[i / count * x_width + from + i % count]; }
};

}  // namespace
}  // namespace cuda

void CudaOps::Route(const RouteRule& rule, Tensor logits, std::span<int32_t> experts, std::span<float> weights) {
  DROVER_CHECK(rule.active <= logits.cols && experts.size() == weights.size() && logits.cols % rule.groups == 0);
  DROVER_CHECK(rule.choice_bias.empty() || static_cast<int64_t>(rule.choice_bias.size()) == logits.cols);
  DROVER_CHECK_EQ(static_cast<int64_t>(experts.size()), logits.rows * rule.active);
  DROVER_CHECK_LE(logits.cols, cuda::kExpertsMax);
  if (logits.rows == 0) return;
  const cuda::RouteTask task{rule, logits.data, static_cast<int32_t>(logits.cols), experts.data(), weights.data()};
  const size_t shared = static_cast<size_t>(2 * (logits.cols + rule.groups)) * sizeof(float);
  cuda::RouteTokens<<<cuda::Blocks(logits.rows, 1), cuda::kWarp, shared, device_->stream()>>>(task);
  device_->Launched("Route");
}

void CudaOps::Gather(Tensor x, std::span<const int32_t> rows, Tensor y) {
  DROVER_CHECK(static_cast<int64_t>(rows.size()) == y.rows && x.cols == y.cols);
  cuda::ForEach(*device_, "Gather", y.size(), cuda::Gathered{x.data, rows.data(), y.data, y.cols});
}

void CudaOps::ScatterAdd(Tensor x, std::span<const int32_t> rows, std::span<const float> weights, Tensor out) {
  DROVER_CHECK(static_cast<int64_t>(rows.size()) == x.rows && rows.size() == weights.size() && x.cols == out.cols);
  cuda::ForEach(*device_, "ScatterAdd", x.size(), cuda::Scattered{x.data, rows.data(), weights.data(), out.data, x.cols});
}

void CudaOps::ScaleRows(std::span<const float> factors, Tensor x) {
  DROVER_CHECK_EQ(static_cast<int64_t>(factors.size()), x.rows);
  cuda::ForEach(*device_, "ScaleRows", x.size(), cuda::FactoredRows{factors.data(), x.data, x.cols});
}

void CudaOps::Rope(const RopeAngles& angles, int64_t head_dim, Tensor x) {
  const int64_t pairs = angles.cos.cols;
  DROVER_CHECK(angles.cos.rows == x.rows && head_dim >= 2 * pairs && x.cols % head_dim == 0);
  const int64_t heads = x.cols / head_dim, stride = angles.interleaved ? 2 : 1, partner = angles.interleaved ? 1 : pairs;
  cuda::ForEach(*device_, "Rope", x.rows * heads * pairs,
                cuda::Turned{angles.cos.data, angles.sin.data, x.data, pairs, heads, head_dim, stride, partner});
}

void CudaOps::CopyHeads(int64_t heads, Tensor x, int64_t from, Tensor y, int64_t to, int64_t count) {
  if (heads == 0) return;
  DROVER_CHECK(x.rows == y.rows && from >= 0 && to >= 0 && from + count <= x.cols / heads && to + count <= y.cols / heads);
  cuda::ForEach(*device_, "CopyHeads", x.rows * heads * count,
                cuda::CopiedHeads{x.data, y.data, x.cols / heads, y.cols / heads, from, to, count});
}

}  // namespace drover
