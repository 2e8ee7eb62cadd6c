// See attend_tiles.h.
#include "kernels/cuda/attend_tiles.h"

#include <array>

#include "kernels/cuda/attend_cut.h"
#include "kernels/cuda/attend_tiles.cuh"

namespace drover::cuda {
namespace {

// In an SM, as their registers (64, 80, 128 or 255 a thread) allow.
constexpr int BlocksByRegisters(int queries, int value_steps) {
  if (queries > kStep) return value_steps == 1 ? 2 : 1;
  return value_steps == 1 ? 4 : value_steps == 2 ? 3 : 2;
}

// y[t,h] = Σ_j softmax_j(score of key j)·V[j] for the keys that t sees, or that sum for a part of the keys. Block x takes the
// queries (AttendCut), y an item, z the part: neighbours read the same keys.
template <int kQueries, int kValueSteps>
__global__ void __launch_bounds__(kTilesThreads, BlocksByRegisters(kQueries, kValueSteps)) AttendItemsInTiles(const AttendTask task) {
  extern __shared__ uint4 room[];
  AttendTiles<kQueries, kValueSteps> block(task, reinterpret_cast<unsigned char*>(room));
  if (!block.FindQueries()) return;
  const int ahead = task.cut.stages - 1;  // tiles on their way
  const int32_t first = block.keys.first / kTilesKeys * kTilesKeys;
  for (int i = 0; i < ahead; ++i) block.Send(first + i * kTilesKeys, i);
  int stage = 0, free_stage = ahead;
  for (int32_t tile = first; tile <= block.keys.last; tile += kTilesKeys) {
    AwaitPieces(ahead - 1);
    __syncthreads();  // of all threads' pieces, and of the sums that read the stage before
    block.Send(tile + ahead * kTilesKeys, free_stage);
    block.Score(stage);
    __syncthreads();
    block.Weigh(tile);
    __syncthreads();
    block.AddValues(stage);
    free_stage = stage;
    stage = stage == ahead ? 0 : stage + 1;
  }
  block.Write();
}

constexpr int kQueriesMost = 64, kQueriesLeast = 16, kValuesMax = 512;
struct Kernel {
  void (*run)(const AttendTask);
  int queries, blocks;  // blocks: of an SM, as far as registers go
};
template <int kQueries, int kValueSteps>
constexpr Kernel kKernel = {AttendItemsInTiles<kQueries, kValueSteps>, kQueries, BlocksByRegisters(kQueries, kValueSteps)};
// By value steps of a warp: 1, 2 and 4, that is up to 128, 256 and 512 value columns.
constexpr std::array<Kernel, 3> kManyQueries = {kKernel<kQueriesMost, 1>, kKernel<kQueriesMost, 2>, kKernel<kQueriesMost, 4>};
constexpr std::array<Kernel, 3> kFewQueries = {kKernel<kQueriesLeast, 1>, kKernel<kQueriesLeast, 2>, kKernel<kQueriesLeast, 4>};

const Kernel& KernelOf(int queries, int64_t values) {
  const size_t steps = values <= kValuesMax / 4 ? 0 : values <= kValuesMax / 2 ? 1 : 2;
  return queries == kQueriesMost ? kManyQueries[steps] : kFewQueries[steps];
}

int64_t RoomOf(const AttendTask& task, int queries, int stages) {
  const AttentionShape& shape = task.shape;
  const bool apart = ValueColumn(task.kv, shape) < 0;
  return TilesRoom(queries, stages, static_cast<int>(shape.head_dim), static_cast<int>(shape.ValueDim()), apart).bytes;
}

// As many as there is shared memory for, without taking a block from an SM that has no more than `wanted`, or three.
int StagesOf(const AttendTask& task, const Kernel& kernel, int64_t wanted, int64_t shared_bytes) {
  constexpr int64_t kOwn = 1 << 10;  // bytes that CUDA takes for each block
  const auto blocks = [&](int stages) { return std::min<int64_t>(kernel.blocks, (shared_bytes + kOwn) / (RoomOf(task, kernel.queries, stages) + kOwn)); };
  int stages = 2;
  while (stages < kStagesMost && blocks(stages + 1) >= std::min<int64_t>({blocks(2), wanted, 3})) ++stages;
  return stages;
}

}  // namespace

absl::StatusOr<int64_t> PrepareTiles(const CudaDevice& device) {
  int bytes = 0;
  cudaError_t error = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index());
  for (const auto& kernels : {kManyQueries, kFewQueries})
    for (const Kernel& kernel : kernels)
      if (error == cudaSuccess) error = cudaFuncSetAttribute(kernel.run, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return device.Error(error, "shared memory of attention");
  return bytes;
}

bool TilesCover(const AttendTask& task, int64_t shared_bytes) {
  const AttentionShape& shape = task.shape;
  return task.kv.type == DType::kBF16 && IsWide(task.kv, shape) && shape.head_dim % kStep == 0 && shape.ValueDim() % kStep == 0 &&
         shape.ValueDim() <= kValuesMax && RoomOf(task, kQueriesLeast, 2) <= shared_bytes;
}

void LaunchTiles(AttendTask task, int64_t items, int64_t rows, const TilesLimits& limits, cudaStream_t stream) {
  const AttentionShape& shape = task.shape;
  const int parts = std::max(task.cut.parts, 1);
  const auto grid_of = [&](const AttendCut& cut) {
    return dim3{static_cast<unsigned>(shape.kv_heads * cut.head_blocks * cut.row_blocks), Blocks(items, 1), static_cast<unsigned>(parts)};
  };
  const AttendCut large = CutOf(shape, rows, kQueriesMost, task.cut.parts);
  const auto blocks_of = [](dim3 grid) { return int64_t{grid.x} * grid.y * grid.z; };
  const bool busy = blocks_of(grid_of(large)) >= limits.blocks, fits = RoomOf(task, kQueriesMost, 2) <= limits.shared_bytes;
  const bool many = std::min(shape.group, shape.heads) * rows > kQueriesLeast && busy && fits;
  task.cut = many ? large : CutOf(shape, rows, kQueriesLeast, task.cut.parts);
  const dim3 grid = grid_of(task.cut);
  const Kernel& kernel = KernelOf(many ? kQueriesMost : kQueriesLeast, shape.ValueDim());
  task.cut.stages = StagesOf(task, kernel, DivideUp(blocks_of(grid), limits.blocks), limits.shared_bytes);
  const auto room = static_cast<size_t>(RoomOf(task, kernel.queries, task.cut.stages));
  void (*const run)(const AttendTask) = kernel.run;
  run<<<grid, kTilesThreads, room, stream>>>(task);
}

}  // namespace drover::cuda
