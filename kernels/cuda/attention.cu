// Paged attention of any head size over a KV cache in f32 or bf16, and the appending to it. One block of threads for each query head of
// each row: it walks the keys that the query sees in tiles from the first one on, so that a result depends on nothing beside it.
#include "common/check.h"
#include "kernels/cuda/launch.cuh"

namespace drover {
namespace cuda {
namespace {

constexpr int kAttendThreads = 128, kAttendWarps = kAttendThreads / kWarp;
constexpr int kKeys = 64;       // of a tile
constexpr int kKeysAtOnce = 4;  // whose loads a warp has in flight
constexpr int64_t kSharedBytesMax = 48 << 10;

// The step's sequences, as CudaOps::Begin lays them out.
struct Places {
  const int32_t* rows = nullptr;  // position (negative: none) and first block of each row
  const int32_t* blocks = nullptr;

  __device__ int32_t Position(int64_t row) const { return rows[2 * row]; }
  // Where the heads of a position lie: KvLayer::Offset.
  __device__ int64_t Offset(int64_t row, int32_t position, const KvLayer& kv) const {
    const int32_t tokens = static_cast<int32_t>(kv.block_tokens);
    const int64_t block = blocks[rows[2 * row + 1] + position / tokens];
    return (block * kv.block_tokens + position % tokens) * kv.token_stride();
  }
};

// An element of a cache as f32, and back: a float, or the 16 bits of a bfloat16.
__device__ inline float Opened(float x) { return x; }
__device__ inline float Opened(uint16_t x) { return __uint_as_float(static_cast<unsigned>(x) << 16); }

// To bfloat16 and back, nearest even.
__device__ inline float Rounded(float x) {
  const unsigned bits = __float_as_uint(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return __uint_as_float(bits | 0x400000u);  // keep NaN a NaN
  return __uint_as_float((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
}
__device__ inline void Store(float x, float* at) { *at = x; }
__device__ inline void Store(float x, uint16_t* at) { *at = static_cast<uint16_t>(__float_as_uint(Rounded(x)) >> 16); }

// K[position of t] ← k[t], V likewise unless v is null. T: float or uint16_t, the cache's elements.
template <class T>
__global__ void AppendRows(const float* k, const float* v, Places places, KvLayer kv) {
  const int64_t row = blockIdx.x, width = kv.token_stride();
  const int32_t position = places.Position(row);
  if (position < 0) return;
  const int64_t offset = places.Offset(row, position, kv);
  for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
    Store(k[row * width + i], reinterpret_cast<T*>(kv.keys) + offset + i);
    if (v != nullptr) Store(v[row * width + i], reinterpret_cast<T*>(kv.values) + offset + i);
  }
}

struct AttendTask {
  const float* q = nullptr;
  float* y = nullptr;
  Places places;
  KvLayer kv;
  AttentionShape shape;
};

// cap(scale·q·k) + bias, as AttentionShape says.
__device__ inline float ScoreOf(const AttentionShape& shape, float dot, int64_t head, int32_t key, int32_t position) {
  float score = shape.scale * dot;
  if (shape.softcap > 0) score = shape.softcap * tanhf(score / shape.softcap);
  const float slope = shape.slopes.empty() ? 0 : shape.slopes.data()[head];
  if (slope == 0) return score;
  if (!shape.bias_rounded) return score + shape.bias_factor * slope * static_cast<float>(key - position);
  return score + shape.bias_factor * Rounded(Rounded(slope) * Rounded(static_cast<float>(key)));
}

// scores[j] of the tile's keys, whose heads begin at offsets[j]; a warp takes kKeysAtOnce keys at a time, its lanes the dimensions.
template <class T>
__device__ inline void ScoreTile(const AttendTask& task, const float* q, const int64_t* offsets, int32_t key, int count, float* scores) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int dim = static_cast<int>(task.shape.head_dim);
  const int32_t position = task.places.Position(blockIdx.x);
  for (int j = warp * kKeysAtOnce; j < count; j += kAttendWarps * kKeysAtOnce) {
    float sums[kKeysAtOnce] = {};
    const T* keys[kKeysAtOnce];
#pragma unroll
    for (int n = 0; n < kKeysAtOnce; ++n) keys[n] = reinterpret_cast<const T*>(task.kv.keys) + offsets[min(j + n, count - 1)];
    for (int d = lane; d < dim; d += kWarp) {
#pragma unroll
      for (int n = 0; n < kKeysAtOnce; ++n) sums[n] = fmaf(q[d], Opened(keys[n][d]), sums[n]);
    }
#pragma unroll
    for (int n = 0; n < kKeysAtOnce; ++n) {
      const float dot = WarpSum(sums[n]);
      if (lane == 0 && j + n < count) scores[j + n] = ScoreOf(task.shape, dot, blockIdx.y, key + j + n, position);
    }
  }
}

// What of the softmax is known after some tiles; the same in every thread.
struct Softmax {
  float max, sum;

  // Takes a tile's scores in: they become exp(score - max), and the factor of what was summed before is returned.
  __device__ float Add(const float* scores, int count, float* weights) {
    const int lane = threadIdx.x % kWarp;
    float best = -INFINITY, total = 0;
    for (int j = lane; j < count; j += kWarp) best = fmaxf(best, scores[j]);
    best = fmaxf(max, WarpMax(best));
    for (int j = lane; j < count; j += kWarp) {
      const float weight = expf(scores[j] - best);
      total += weight;
      if (threadIdx.x < kWarp) weights[j] = weight;
    }
    const float factor = expf(max - best);
    sum = fmaf(sum, factor, WarpSum(total));
    max = best;
    return factor;
  }
};

// y[t,h] = Σ_j softmax_j(score of key j)·V[j] for the keys that t sees. A sink joins the sum and has no value.
template <class T>
__global__ void __launch_bounds__(kAttendThreads) AttendHead(const AttendTask task) {
  extern __shared__ float room[];  // q, then the sums of values
  __shared__ float scores[kKeys], weights[kKeys];
  __shared__ int64_t offsets[kKeys];
  const AttentionShape& shape = task.shape;
  const int64_t row = blockIdx.x, head = blockIdx.y;
  const int32_t position = task.places.Position(row);
  if (position < 0) return;
  const int dim = static_cast<int>(shape.head_dim), values = static_cast<int>(shape.ValueDim());
  const int64_t kv_head = ((shape.first_head + head) / shape.group - shape.first_kv_head) * dim;
  float *q = room, *sums = room + dim;
  for (int d = threadIdx.x; d < dim; d += kAttendThreads) q[d] = task.q[(row * shape.heads + head) * dim + d];
  for (int d = threadIdx.x; d < values; d += kAttendThreads) sums[d] = 0;
  Softmax softmax{-INFINITY, 0};
  if (!shape.sinks.empty()) softmax = {shape.sinks.data()[head], 1};
  for (int32_t key = static_cast<int32_t>(shape.FirstKey(position)); key <= position; key += kKeys) {
    const int count = min(kKeys, position - key + 1);
    for (int j = threadIdx.x; j < count; j += kAttendThreads) offsets[j] = task.places.Offset(row, key + j, task.kv) + kv_head;
    __syncthreads();
    ScoreTile<T>(task, q, offsets, key, count, scores);
    __syncthreads();
    const float factor = softmax.Add(scores, count, weights);
    __syncthreads();
    for (int d = threadIdx.x; d < values; d += kAttendThreads) {
      float sum = sums[d] * factor;
#pragma unroll 4
      for (int j = 0; j < count; ++j) sum = fmaf(weights[j], Opened(reinterpret_cast<const T*>(task.kv.values)[offsets[j] + d]), sum);
      sums[d] = sum;
    }
    __syncthreads();
  }
  float* y = task.y + (row * shape.heads + head) * values;
  for (int d = threadIdx.x; d < values; d += kAttendThreads) y[d] = sums[d] / softmax.sum;
}

}  // namespace
}  // namespace cuda

void CudaOps::AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  DROVER_CHECK(kv.type == DType::kF32 || kv.type == DType::kBF16);
  DROVER_CHECK(k.cols == kv.token_stride() && (v.size() == 0 || v.cols == kv.token_stride()));
  DROVER_CHECK(sequences.data() == begun_.data() && sequences.size() == begun_.size());
  DROVER_CHECK_LE(begun_rows_, k.rows);
  if (begun_rows_ == 0 || k.cols == 0) return;
  const auto* places = reinterpret_cast<const int32_t*>(near_places_.data());
  const float* values = v.size() == 0 ? nullptr : v.data;
  const cuda::Places at{places, places + 2 * begun_rows_};
  const unsigned blocks = cuda::Blocks(begun_rows_, 1), threads = cuda::ThreadsFor(k.cols);
  if (kv.type == DType::kBF16)
    cuda::AppendRows<uint16_t><<<blocks, threads, 0, device_->stream()>>>(k.data, values, at, kv);
  else
    cuda::AppendRows<float><<<blocks, threads, 0, device_->stream()>>>(k.data, values, at, kv);
  device_->Launched("AppendKv");
}

void CudaOps::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  DROVER_CHECK(kv.type == DType::kF32 || kv.type == DType::kBF16);
  DROVER_CHECK(q.cols == shape.heads * shape.head_dim && y.cols == shape.heads * shape.ValueDim() && y.rows == q.rows);
  DROVER_CHECK(sequences.data() == begun_.data() && sequences.size() == begun_.size());
  DROVER_CHECK_LE(begun_rows_, q.rows);
  const int64_t shared = (shape.head_dim + shape.ValueDim()) * static_cast<int64_t>(sizeof(float));
  DROVER_CHECK_LE(shared, cuda::kSharedBytesMax - (4 << 10));  // less what the kernel has besides
  if (begun_rows_ == 0 || shape.heads == 0) return;
  const auto* places = reinterpret_cast<const int32_t*>(near_places_.data());
  const cuda::AttendTask task{q.data, y.data, {places, places + 2 * begun_rows_}, kv, shape};
  const dim3 grid{cuda::Blocks(begun_rows_, 1), static_cast<unsigned>(shape.heads)};
  if (kv.type == DType::kBF16)
    cuda::AttendHead<uint16_t><<<grid, cuda::kAttendThreads, static_cast<size_t>(shared), device_->stream()>>>(task);
  else
    cuda::AttendHead<float><<<grid, cuda::kAttendThreads, static_cast<size_t>(shared), device_->stream()>>>(task);
  device_->Launched("Attend");
}

}  // namespace drover
