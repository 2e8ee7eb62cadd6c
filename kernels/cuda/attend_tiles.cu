// See attend_tiles.h.
#include "kernels/cuda/attend_tiles.h"

#include <array>

#include "kernels/cuda/attend_cut.h"
#include "kernels/cuda/attend_tiles.cuh"

namespace drover::cuda {
namespace {

// y[t,h] = Σ_j softmax_j(score of key j)·V[j] for the keys that t sees, or that sum for a part of the keys. Block x takes an item, y
// the queries (AttendCut), z the part.
template <int kQueries, int kValueSteps>
__global__ void __launch_bounds__(kTilesThreads) AttendItemsInTiles(const AttendTask task) {
  extern __shared__ uint4 room[];
  AttendTiles<kQueries, kValueSteps> block(task, reinterpret_cast<unsigned char*>(room));
  if (!block.FindQueries()) return;
  int stage = 0;
  int32_t tile = block.keys.first / kTilesKeys * kTilesKeys;
  block.Send(tile, stage);
  for (; tile <= block.keys.last; tile += kTilesKeys, stage = 1 - stage) {
    AwaitPieces();
    __syncthreads();  // of all threads' pieces, and of the sums that read the other stage
    if (tile + kTilesKeys <= block.keys.last) block.Send(tile + kTilesKeys, 1 - stage);
    block.Score(tile, stage);
    __syncthreads();
    block.Weigh(tile);
    __syncthreads();
    block.AddValues(stage);
  }
  block.Write();
}

using Kernel = void (*)(const AttendTask);
constexpr int kQueriesMost = 64, kQueriesLeast = 16, kValuesMax = 512;
// By value steps of a warp: 1, 2 and 4, that is up to 128, 256 and 512 value columns.
constexpr std::array<Kernel, 3> kManyQueries = {AttendItemsInTiles<kQueriesMost, 1>, AttendItemsInTiles<kQueriesMost, 2>, AttendItemsInTiles<kQueriesMost, 4>};
constexpr std::array<Kernel, 3> kFewQueries = {AttendItemsInTiles<kQueriesLeast, 1>, AttendItemsInTiles<kQueriesLeast, 2>, AttendItemsInTiles<kQueriesLeast, 4>};

Kernel KernelOf(int queries, int64_t values) {
  const size_t steps = values <= kValuesMax / 4 ? 0 : values <= kValuesMax / 2 ? 1 : 2;
  return queries == kQueriesMost ? kManyQueries[steps] : kFewQueries[steps];
}

int64_t RoomOf(const AttendTask& task, int queries) {
  const AttentionShape& shape = task.shape;
  return TilesRoom(queries, static_cast<int>(shape.head_dim), static_cast<int>(shape.ValueDim()), ValueColumn(task.kv, shape) < 0).bytes;
}

}  // namespace

absl::StatusOr<int64_t> PrepareTiles(const CudaDevice& device) {
  int bytes = 0;
  cudaError_t error = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index());
  for (const auto& kernels : {kManyQueries, kFewQueries})
    for (const Kernel kernel : kernels)
      if (error == cudaSuccess) error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return device.Error(error, "shared memory of attention");
  return bytes;
}

bool TilesCover(const AttendTask& task, int64_t shared_bytes) {
  const AttentionShape& shape = task.shape;
  return task.kv.type == DType::kBF16 && IsWide(task.kv, shape) && shape.head_dim % kStep == 0 && shape.ValueDim() % kStep == 0 &&
         shape.ValueDim() <= kValuesMax && RoomOf(task, kQueriesLeast) <= shared_bytes;
}

void LaunchTiles(AttendTask task, int64_t items, int64_t rows, int64_t shared_bytes, cudaStream_t stream) {
  const int64_t shared = std::min(task.shape.group, task.shape.heads) * rows, parts = std::max(task.cut.parts, 1);
  const int queries = shared > kQueriesLeast && RoomOf(task, kQueriesMost) <= shared_bytes ? kQueriesMost : kQueriesLeast;
  task.cut = CutOf(task.shape, rows, queries, task.cut.parts);
  const dim3 grid{Blocks(items, 1), static_cast<unsigned>(task.shape.kv_heads * task.cut.head_blocks * task.cut.row_blocks), static_cast<unsigned>(parts)};
  const Kernel kernel = KernelOf(queries, task.shape.ValueDim());
  kernel<<<grid, kTilesThreads, static_cast<size_t>(RoomOf(task, queries)), stream>>>(task);
}

}  // namespace drover::cuda
