// PlaceHeads: queries and keys are normed and rotated, keys and values enter the cache, in one launch. AppendKv is a part of it.
#include "common/check.h"
#include "kernels/cuda/attend.cuh"

namespace drover {
namespace cuda {
namespace {

// Heads of queries or of keys; gain may be null.
struct HeadsToPlace {
  float* x = nullptr;
  const float* gain = nullptr;
  int32_t heads = 0, normed = 0;  // the last `normed` values of a head
};

struct PlaceTask {
  HeadsToPlace q, k;
  const float* v = nullptr;  // may be null
  float eps = 0;
  const float *cos = nullptr, *sin = nullptr;
  int32_t pairs = 0, dim = 0;  // of a head
  bool interleaved = false;
  const int32_t *places = nullptr, *blocks = nullptr;
  int64_t placed = 0;  // rows that have places
  KvLayer kv;

  // Of a row's first head in the cache, in elements; negative: the row has no place.
  __device__ int64_t CacheOffset(int64_t row) const {
    const int32_t position = row < placed ? places[2 * row] : -1, tokens = static_cast<int32_t>(kv.block_tokens);
    if (position < 0) return -1;
    const int64_t block = blocks[places[2 * row + 1] + position / tokens];
    return (block * tokens + position % tokens) * kv.token_stride();  // KvLayer::Offset
  }
};

// A head's values after its norm.
struct NormedHead {
  const float* x;
  const float* gain;
  int first;  // that is normed
  float scale;
  __device__ float operator()(int i) const { return gain == nullptr || i < first ? x[i] : gain[i - first] * (x[i] * scale); }
};

__device__ inline NormedHead NormHead(const HeadsToPlace& heads, const float* x, int dim, float eps) {
  NormedHead head{x, heads.gain, dim - heads.normed, 1};
  if (heads.gain == nullptr) return head;
  float squares = 0;
  for (int i = head.first + static_cast<int>(threadIdx.x); i < dim; i += static_cast<int>(blockDim.x)) squares = fmaf(x[i], x[i], squares);
  head.scale = 1 / sqrtf(BlockSum(squares) / static_cast<float>(heads.normed) + eps);
  return head;
}

// put(i, value) for the values of a head after its rotation, the rotated ones alone or all. A thread has both of a pair, so that put may
// write where the head lies.
template <class Put>
__device__ inline void RotateHead(const PlaceTask& task, const NormedHead& head, int64_t row, bool all, const Put& put) {
  const int stride = task.interleaved ? 2 : 1, partner = task.interleaved ? 1 : task.pairs, end = all ? task.dim - task.pairs : task.pairs;
  for (int i = static_cast<int>(threadIdx.x); i < end; i += static_cast<int>(blockDim.x)) {
    if (i >= task.pairs) {
      put(i + task.pairs, head(i + task.pairs));
      continue;
    }
    const float c = task.cos[row * task.pairs + i], s = task.sin[row * task.pairs + i];
    const float a = head(i * stride), b = head(i * stride + partner);
    put(i * stride, a * c - b * s);
    put(i * stride + partner, b * c + a * s);
  }
}

// Block x takes a row, y one of its heads: those of q first, then those of k with those of v. T: of the cache's elements.
template <class T>
__global__ void __launch_bounds__(kThreads) PlaceRows(const PlaceTask task) {
  const int64_t row = blockIdx.x;
  const int32_t head = static_cast<int32_t>(blockIdx.y);
  if (head < task.q.heads) {
    float* x = task.q.x + (row * task.q.heads + head) * task.dim;
    const bool all = task.q.gain != nullptr;
    return RotateHead(task, NormHead(task.q, x, task.dim, task.eps), row, all, [x](int i, float value) { x[i] = value; });
  }
  const int64_t first = task.CacheOffset(row), own = int64_t{head - task.q.heads} * task.dim;
  if (first < 0) return;
  T* keys = reinterpret_cast<T*>(task.kv.keys) + first + own;
  RotateHead(task, NormHead(task.k, task.k.x + row * task.kv.token_stride() + own, task.dim, task.eps), row, true,
             [keys](int i, float value) { Store(value, keys + i); });
  if (task.v == nullptr) return;
  const float* v = task.v + row * task.kv.token_stride() + own;
  T* values = reinterpret_cast<T*>(task.kv.values) + first + own;
  for (int i = static_cast<int>(threadIdx.x); i < task.dim; i += static_cast<int>(blockDim.x)) Store(v[i], values + i);
}

HeadsToPlace HeadsOf(Tensor x, std::span<const float> gain, int64_t dim) {
  DROVER_CHECK(x.cols % dim == 0 && static_cast<int64_t>(gain.size()) <= dim);
  return {x.data, gain.empty() ? nullptr : gain.data(), static_cast<int32_t>(x.cols / dim), static_cast<int32_t>(gain.size())};
}

}  // namespace
}  // namespace cuda

void CudaOps::PlaceHeads(const HeadPlacing& how, Tensor q, Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  const int64_t dim = kv.head_dim, pairs = how.angles.cos.cols;
  DROVER_CHECK(kv.type == DType::kF32 || kv.type == DType::kBF16);
  DROVER_CHECK(q.rows == k.rows && k.cols == kv.token_stride() && (v.size() == 0 || v.cols == k.cols));
  DROVER_CHECK(2 * pairs <= dim && (pairs == 0 || how.angles.cos.rows == q.rows));
  CheckBegun(sequences, q.rows);
  if (q.size() + k.size() == 0) return;
  const std::byte* base = near_places_.data();
  cuda::PlaceTask task{.q = cuda::HeadsOf(q, how.q_gain, dim), .k = cuda::HeadsOf(k, how.k_gain, dim), .v = v.size() == 0 ? nullptr : v.data,
                       .eps = how.eps, .cos = how.angles.cos.data, .sin = how.angles.sin.data};
  task.pairs = static_cast<int32_t>(pairs);
  task.dim = static_cast<int32_t>(dim);
  task.interleaved = how.angles.interleaved;
  task.places = places_.RowsAt(base);
  task.blocks = places_.BlocksAt(base);
  task.placed = places_.rows();
  task.kv = kv;
  const dim3 grid{cuda::Blocks(q.rows, 1), static_cast<unsigned>(task.q.heads + task.k.heads), 1};
  const unsigned threads = cuda::ThreadsFor(dim);
  if (kv.type == DType::kBF16)
    cuda::PlaceRows<uint16_t><<<grid, threads, 0, device_->stream()>>>(task);
  else
    cuda::PlaceRows<float><<<grid, threads, 0, device_->stream()>>>(task);
  device_->Launched("PlaceHeads");
}

void CudaOps::AppendKv(Tensor k, Tensor v, std::span<const SequenceRows> sequences, const KvLayer& kv) {
  PlaceHeads({}, {nullptr, k.rows, 0}, k, v, sequences, kv);
}

}  // namespace drover
