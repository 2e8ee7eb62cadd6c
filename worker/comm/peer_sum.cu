// See peer_sum.h. Words are read and written as volatile: whole, and past the caches that only one GPU sees.
#include "common/check.h"
#include "kernels/cuda/norm.cuh"
#include "worker/comm/peer_sum.h"

namespace drover {
namespace {

constexpr int kPieceThreads = 512;
constexpr int64_t kPiece = 1024;  // floats of a block
constexpr unsigned kTurnsUnasked = 1 << 10, kRestNanoseconds = 100;

// Which sum this is. The mark is not that of a word that was never written.
struct Turn {
  uint32_t mark;
  int64_t half;
};

__device__ inline Turn TurnOf(const PeerPlaces& places) {
  const uint64_t done = places.counter->done;
  return {static_cast<uint32_t>(done) | 0x80000000u, static_cast<int64_t>(done % 2) * places.ranks * kPeerFloatsMax};
}

// NaN when it is to stop, so that nobody takes what follows for a result.
__device__ inline float Await(const volatile uint64_t* word, uint32_t mark, const volatile int* stop, bool& stopped) {
  for (unsigned turn = 1; !stopped; ++turn) {
    const uint64_t found = *word;
    if (static_cast<uint32_t>(found >> 32) == mark) return __uint_as_float(static_cast<uint32_t>(found));
    if (turn % kTurnsUnasked != 0) continue;
    stopped = *stop != 0;
    __nanosleep(kRestNanoseconds);
  }
  return NAN;
}

// x[i] ← Σ_ranks x[i] for begin ≤ i < end, by a block; what a thread reads of it later is its own.
__device__ inline void SumPart(const PeerPlaces& places, float* x, int64_t begin, int64_t end) {
  const Turn turn = TurnOf(places);
  bool stopped = places.counter->stopped != 0;
  for (int64_t i = begin + threadIdx.x; i < end && !stopped; i += blockDim.x) {
    const uint64_t word = uint64_t{turn.mark} << 32 | __float_as_uint(x[i]);
    const int64_t at = turn.half + places.rank * kPeerFloatsMax + i;
    for (int r = 0; r < places.ranks; ++r)
      if (r != places.rank) *static_cast<volatile uint64_t*>(places.rooms[r] + at) = word;
  }
  __syncthreads();  // no thread waits before its block has sent all
  const uint64_t* own = places.rooms[places.rank] + turn.half;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
    float sum = 0;
    for (int r = 0; r < places.ranks; ++r) {
      const float value = r == places.rank ? x[i] : Await(own + r * kPeerFloatsMax + i, turn.mark, places.stop, stopped);
      sum = r == 0 ? value : sum + value;
    }
    x[i] = sum;
  }
  if (stopped) places.counter->stopped = 1;
}

// The block that is the last to end counts the sum: by then all have read how many there were.
__device__ inline void EndTurn(const PeerPlaces& places) {
  __syncthreads();
  if (threadIdx.x != 0 || atomicAdd(&places.counter->ended, 1) + 1 < static_cast<int>(gridDim.x)) return;
  places.counter->ended = 0;
  ++places.counter->done;
}

__global__ void __launch_bounds__(kPieceThreads) SumPieces(PeerPlaces places, float* x, int64_t count) {
  const int64_t begin = blockIdx.x * kPiece;
  SumPart(places, x, begin, begin + kPiece < count ? begin + kPiece : count);
  EndTurn(places);
}

// A block for each row.
template <void (*norm)(const cuda::NormTask&)>
__global__ void __launch_bounds__(cuda::kRowThreads) SumRowsAddNorm(PeerPlaces places, float* a, cuda::NormTask task) {
  SumPart(places, a, blockIdx.x * task.width, (blockIdx.x + 1) * task.width);
  task.GoTo(blockIdx.x);
  norm(task);
  EndTurn(places);
}

}  // namespace

void PeerSum(CudaDevice& device, const PeerPlaces& places, std::span<float> x) {
  const auto count = static_cast<int64_t>(x.size());
  DROVER_CHECK(count > 0 && count <= kPeerFloatsMax && places.ranks <= kPeerRanksMax);
  SumPieces<<<cuda::Blocks(count, kPiece), cuda::ThreadsFor(count, kPieceThreads), 0, device.stream()>>>(places, x.data(), count);
  device.Launched("AllReduceSum");
}

void PeerSumAddNorm(CudaDevice& device, const PeerPlaces& places, Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  DROVER_CHECK(a.size() > 0 && a.size() <= kPeerFloatsMax && a.rows <= kPeerRowsMax && places.ranks <= kPeerRanksMax);
  const cuda::NormTask task = cuda::AddNormTask(a, norm, x, y);
  const auto kernel = norm.layer_norm ? SumRowsAddNorm<cuda::LayerNormGroup> : SumRowsAddNorm<cuda::RmsNormGroup>;
  kernel<<<static_cast<unsigned>(a.rows), cuda::ThreadsFor(a.cols, cuda::kRowThreads), 0, device.stream()>>>(places, a.data, task);
  device.Launched("AllReduceSum and AddNorm");
}

}  // namespace drover
