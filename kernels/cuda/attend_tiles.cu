// See attend_tiles.h.
#include "kernels/cuda/attend_tiles.h"

#include <array>

#include "kernels/cuda/attend_cut.h"
#include "kernels/cuda/attend_rows.cuh"
#include "kernels/cuda/attend_tiles.cuh"

namespace drover::cuda {
namespace {

// y[t,h] = Σ_j softmax_j(score of key j)·V[j] for the keys that t sees, or that sum for a part of the keys. Block x takes the
// queries (AttendCut), y an item, z the part: neighbours read the same keys.
template <class Block>
__global__ void __launch_bounds__(Block::kThreads, Block::kBlocks) AttendItemsInTiles(const AttendTask task) {
  extern __shared__ uint4 room[];
  Block block(task, reinterpret_cast<unsigned char*>(room));
  if (!block.FindQueries()) return;
  block.Begin();
  const int ahead = task.cut.stages - 1;  // tiles on their way
  const int32_t first = block.keys.first / kTilesKeys * kTilesKeys;
  for (int i = 0; i < ahead; ++i) block.Send(first + i * kTilesKeys, i);
  int stage = 0;
  for (int32_t tile = first; tile <= block.keys.last; tile += kTilesKeys) {
    AwaitPieces(ahead - 1);
    __syncthreads();  // of all threads' pieces, and of the sums that read the stage before
    block.Send(tile + ahead * kTilesKeys, stage == 0 ? ahead : stage - 1);
    block.Take(tile, stage);
    stage = stage == ahead ? 0 : stage + 1;
  }
  block.Write();
}

struct Kernel {
  void (*run)(const AttendTask);
  TilesRows rows;
  int threads, blocks;  // blocks: of an SM, as far as registers go
  struct For {
    int values, dims;     // of a head, at most
    int queries, blocks;  // that share keys, and blocks for each of TilesLimits::blocks, at least
  } of;
};
template <class Block>
constexpr Kernel KernelOf(Kernel::For of) {
  return {AttendItemsInTiles<Block>, Block::Rows(), Block::kThreads, Block::kBlocks, of};
}
constexpr int kDimsMost = TilesDimsMost(4), kValuesMost = 512;
// Those whose blocks take the most queries first: the first whose terms are met is taken. The last three take 16 queries, on any terms.
constexpr std::array<Kernel, 7> kKernels = {
    KernelOf<AttendRows<2, 8, 2>>({128, kDimsMost, 128, 2}),
    KernelOf<AttendRows<1, 8, 3>>({128, kDimsMost, 17, 1}),
    KernelOf<AttendRows<1, 16, 2>>({256, kDimsMost, 17, 1}),
    KernelOf<AttendTiles<64, 4, 1>>({kValuesMost, kDimsMost, 17, 1}),
    KernelOf<AttendTiles<16, 1, 3>>({128, TilesDimsMost(1), 0, 0}),
    KernelOf<AttendTiles<16, 2, 2>>({256, TilesDimsMost(2), 0, 0}),
    KernelOf<AttendTiles<16, 4, 2>>({kValuesMost, kDimsMost, 0, 0}),
};

int64_t RoomOf(const AttendTask& task, const Kernel& kernel, int stages) {
  const AttentionShape& shape = task.shape;
  const bool apart = ValueColumn(task.kv, shape) < 0;
  return TilesRoom(kernel.rows, stages, static_cast<int>(shape.head_dim), static_cast<int>(shape.ValueDim()), apart).bytes;
}

// As many as there is shared memory for, without taking a block from an SM that has no more than `wanted`, or three.
int StagesOf(const AttendTask& task, const Kernel& kernel, int64_t wanted, int64_t shared_bytes) {
  constexpr int64_t kOwn = 1 << 10;  // bytes that CUDA takes for each block
  const auto blocks = [&](int stages) { return std::min<int64_t>(kernel.blocks, (shared_bytes + kOwn) / (RoomOf(task, kernel, stages) + kOwn)); };
  int stages = 2;
  while (stages < kStagesMost && blocks(stages + 1) >= std::min<int64_t>({blocks(2), wanted, 3})) ++stages;
  return stages;
}

}  // namespace

absl::StatusOr<int64_t> PrepareTiles(const CudaDevice& device) {
  int bytes = 0;
  cudaError_t error = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.index());
  for (const Kernel& kernel : kKernels)
    if (error == cudaSuccess) error = cudaFuncSetAttribute(kernel.run, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return device.Error(error, "shared memory of attention");
  return bytes;
}

bool TilesCover(const AttendTask& task, int64_t shared_bytes) {
  const AttentionShape& shape = task.shape;
  return task.kv.type == DType::kBF16 && IsWide(task.kv, shape) && reinterpret_cast<uintptr_t>(task.q) % 16 == 0 && shape.head_dim % kStep == 0 &&
         shape.ValueDim() % kStep == 0 && shape.head_dim <= kDimsMost && shape.ValueDim() <= kValuesMost &&
         RoomOf(task, kKernels.back(), 2) <= shared_bytes;
}

void LaunchTiles(AttendTask task, int64_t items, int64_t rows, const TilesLimits& limits, cudaStream_t stream) {
  const AttentionShape& shape = task.shape;
  const int parts = task.cut.parts;
  for (const Kernel& kernel : kKernels) {
    const Kernel::For& of = kernel.of;
    if (shape.ValueDim() > of.values || shape.head_dim > of.dims || RoomOf(task, kernel, 2) > limits.shared_bytes) continue;
    task.cut = CutOf(shape, rows, kernel.rows.queries, parts);
    const dim3 grid{static_cast<unsigned>(shape.kv_heads * task.cut.head_blocks * task.cut.row_blocks), Blocks(items, 1),
                    static_cast<unsigned>(std::max(parts, 1))};
    const int64_t blocks = int64_t{grid.x} * grid.y * grid.z;
    if (std::min(shape.group, shape.heads) * rows < of.queries || blocks < of.blocks * limits.blocks) continue;
    task.cut.stages = StagesOf(task, kernel, DivideUp(blocks, limits.blocks), limits.shared_bytes);
    void (*const run)(const AttendTask) = kernel.run;
    run<<<grid, kernel.threads, static_cast<size_t>(RoomOf(task, kernel, task.cut.stages)), stream>>>(task);
    return;
  }
}

}  // namespace drover::cuda
