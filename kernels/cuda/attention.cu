// Paged attention of any head size over a KV cache in f32 or bf16. Rows of decoding have their keys cut over
// blocks of threads, whose results a second kernel merges; of a long prompt each block takes some rows and all their keys.
#include <bit>

#include "common/check.h"
#include "kernels/cuda/attend_block.cuh"
#include "kernels/cuda/attend_tiles.h"
#include "kernels/cuda/flash_attention.h"

namespace drover {
namespace cuda {
namespace {

constexpr int64_t kSharedBytesMax = 44 << 10;

// y[t,h] = Σ_j softmax_j(score of key j)·V[j] for the keys that t sees, or that sum for a part of the keys. Block x takes the
// queries and value columns (AttendCut), y an item, z the part.
template <class T, int kQueries>
__global__ void __launch_bounds__(kAttendThreads) AttendItems(const AttendTask task) {
  extern __shared__ float4 room[];
  AttendBlock<T, kQueries> block(task, reinterpret_cast<float*>(room));
  if (!block.FindQueries()) return;
  for (int32_t tile = block.keys.first / kTileKeys * kTileKeys; tile <= block.keys.last; tile += kTileKeys) {
    const int count = min(kTileKeys, block.keys.last - tile + 1);
    __syncthreads();  // of the tile before
    if (task.cut.parts == 0) block.CloseParts(tile);
    block.FindKeys(tile);
    __syncthreads();
    block.Score(tile, count);
    __syncthreads();
    WeighKeys<kQueries>(tile, block.queries, block.scores);
    __syncthreads();
    block.AddValues(count);
  }
  __syncthreads();
  block.Write();
}

// The results of few rows from those of their parts, in the order of the keys. Block x takes an item, y a head, z a row of it.
__global__ void MergeParts(const AttendTask task) {
  __shared__ float maxima[kPartsMax], part_sums[kPartsMax];
  __shared__ MergeFactors factors[kPartsMax];
  const AttentionShape& shape = task.shape;
  const AttendItem item = task.items[blockIdx.x];
  const int row = static_cast<int>(blockIdx.z), thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int64_t head = blockIdx.y;
  if (row >= item.rows) return;
  const int32_t position = item.position + row, first = static_cast<int32_t>(shape.FirstKey(position));
  const int32_t part_keys = PartKeys(position - first + 1, task.part_keys);
  const int parts = position / part_keys - first / part_keys + 1, values = static_cast<int>(shape.ValueDim());
  const int64_t at = task.PartAt(int64_t{blockIdx.x} * gridDim.z + row, head, 0);
  for (int part = thread; part < parts; part += threads) {
    maxima[part] = task.softmax[2 * (at + part)];
    part_sums[part] = task.softmax[2 * (at + part) + 1];
  }
  __syncthreads();
  const Softmax start = Start(shape, head);
  for (int part = thread; part < parts; part += threads) {
    float before = start.max;
    for (int i = 0; i < part; ++i) before = fmaxf(before, maxima[i]);
    factors[part] = MergeFactors(before, maxima[part]);
  }
  __syncthreads();
  float sum = start.sum;
  for (int part = 0; part < parts; ++part) sum = factors[part].Sum(sum, part_sums[part]);
  const float share = 1 / sum;
  for (int d = thread; d < values; d += threads) {
    const float* of_part = task.values + at * values + d;
    float value = 0;
#pragma unroll 8
    for (int part = 0; part < parts; ++part) value = factors[part].Sum(value, of_part[static_cast<int64_t>(part) * values]);
    task.y[((item.row + row) * shape.heads + head) * values + d] = value * share;
  }
}

// The same with value columns and lanes as AttendBlock wants them.
AttendCut BlockCutOf(const KvLayer& kv, const AttentionShape& shape, int64_t rows, int queries, int parts) {
  const int64_t vector = VectorOf(kv.type), pieces = DivideUp(shape.head_dim, vector);
  AttendCut cut = CutOf(shape, rows, queries, parts);
  cut.value_blocks = static_cast<int>(DivideUp(shape.ValueDim(), kAttendThreads * vector));
  cut.values = static_cast<int>(DivideUp(DivideUp(shape.ValueDim(), cut.value_blocks), vector) * vector);
  cut.key_lanes = static_cast<int>(std::bit_ceil(static_cast<unsigned>(std::clamp<int64_t>(pieces, 8, kWarp))));
  cut.wide = IsWide(kv, shape);
  return cut;
}

struct LaunchAttend {
  const AttendTask& task;
  dim3 grid;
  size_t shared;
  cudaStream_t stream;

  template <class T, int kQueries>
  void Run() const {
    AttendItems<T, kQueries><<<grid, kAttendThreads, shared, stream>>>(task);
  }
  template <class T>
  void With(int queries) const {
    if (queries == 1) return Run<T, 1>();
    if (queries == 4) return Run<T, 4>();
    Run<T, 8>();
  }
};

// Queries at once: as many as share keys, as far as shared memory goes.
int QueriesOf(const KvLayer& kv, const AttentionShape& shape, int64_t rows) {
  const auto room = [&](int queries) {
    return AttendRoom(queries, VectorOf(kv.type), shape.head_dim, BlockCutOf(kv, shape, rows, queries, 0).values) * static_cast<int64_t>(sizeof(float));
  };
  const int64_t shared = std::min(shape.group, shape.heads) * rows;
  if (shared > 4 && room(8) <= kSharedBytesMax) return 8;
  if (shared > 1 && room(4) <= kSharedBytesMax) return 4;
  DROVER_CHECK_LE(room(1), kSharedBytesMax);
  return 1;
}

// Of `items` items of at most `rows` rows each; task.cut.parts blocks each, if any.
void LaunchBlocks(AttendTask task, int64_t items, int64_t rows, cudaStream_t stream) {
  const int queries = QueriesOf(task.kv, task.shape, rows);
  task.cut = BlockCutOf(task.kv, task.shape, rows, queries, task.cut.parts);
  const AttendCut& cut = task.cut;
  const int64_t blocks = task.shape.kv_heads * cut.head_blocks * cut.row_blocks * cut.value_blocks;
  const int64_t room = AttendRoom(queries, VectorOf(task.kv.type), task.shape.head_dim, cut.values);
  const LaunchAttend launch{task, {static_cast<unsigned>(blocks), Blocks(items, 1), static_cast<unsigned>(std::max(cut.parts, 1))},
                            static_cast<size_t>(room) * sizeof(float), stream};
  if (task.kv.type == DType::kBF16)
    launch.With<uint16_t>(queries);
  else
    launch.With<float>(queries);
}

// By tensor cores where they may have shared memory and cover it.
void Launch(AttendTask task, int64_t items, int64_t rows, const TilesLimits& tiles, cudaStream_t stream) {
  if (TilesCover(task, tiles.shared_bytes))
    LaunchTiles(task, items, rows, tiles, stream);
  else
    LaunchBlocks(task, items, rows, stream);
  if (task.cut.parts == 0) return;
  const dim3 grid{Blocks(items, 1), static_cast<unsigned>(task.shape.heads), static_cast<unsigned>(rows)};
  MergeParts<<<grid, ThreadsFor(task.shape.ValueDim()), 0, stream>>>(task);
}

}  // namespace
}  // namespace cuda

// Of the rows that places_ counts as few: how many parts the keys of each are cut into at most.
int64_t CudaOps::PartsOf(const cuda::AttendTask& task) const {
  const AttentionShape& shape = task.shape;
  int64_t keys = places_.launch_keys();
  for (const int64_t bound : {shape.window, shape.chunk})
    if (bound > 0) keys = std::min(keys, bound);
  return cuda::PartsBound(keys, task.part_keys, shape.window == 0 && shape.chunk == 0);
}

// False: there is no such room.
bool CudaOps::TakeRoomOfParts(int64_t bytes) {
  if (bytes <= parts_.size()) return true;
  absl::StatusOr<AlignedBytes> room = memory_->Allocate(std::max(bytes, std::min(2 * bytes, attend_bytes_)));
  if (room.ok())
    old_rooms_.push_back(std::exchange(parts_, *std::move(room)));  // operations under way and recorded ones may still use it
  else
    device_->Keep(Annotate(room.status(), "room for attention to parts of keys"));
  return room.ok();
}

// In rounds, as many items at once as have room for the results of their parts: at least one.
void CudaOps::AttendFew(cuda::AttendTask task) {
  const int64_t few = places_.few(), rows_each = places_.few_rows_each(), parts = PartsOf(task);
  int64_t items = few;
  if (parts > 1) {
    const int64_t results = rows_each * task.shape.heads * parts;  // of an item
    const int64_t bytes = results * (2 + task.shape.ValueDim()) * static_cast<int64_t>(sizeof(float));
    const int64_t rounds = cuda::DivideUp(few, std::max<int64_t>(attend_bytes_ / bytes, 1));
    items = cuda::DivideUp(few, rounds);
    if (!TakeRoomOfParts(items * bytes)) return;
    task.cut.parts = static_cast<int>(parts);
    task.softmax = reinterpret_cast<float*>(parts_.data());
    task.values = task.softmax + 2 * items * results;
  }
  for (int64_t left = few; left > 0; left -= items, task.items += items)
    cuda::Launch(task, std::min(items, left), rows_each, {tiles_bytes_, attend_blocks_}, device_->stream());
}

void CudaOps::Attend(Tensor q, std::span<const SequenceRows> sequences, const KvLayer& kv, const AttentionShape& shape, Tensor y) {
  DROVER_CHECK(kv.type == DType::kF32 || kv.type == DType::kBF16);
  DROVER_CHECK(q.cols == shape.heads * shape.head_dim && y.cols == shape.heads * shape.ValueDim() && y.rows == q.rows);
  CheckBegun(sequences, q.rows);
  if (places_.rows() == 0 || shape.heads == 0) return;
  if (flash_ != nullptr && flash_->Run(q, kv, shape, y)) return;
  const std::byte* base = near_places_.data();
  cuda::AttendTask task{.q = q.data, .y = y.data, .items = places_.ItemsAt(base), .blocks = places_.BlocksAt(base), .kv = kv, .shape = shape,
                        .part_keys = cuda::LeastPartKeys(kv, shape),
                        .token_shift = std::has_single_bit(static_cast<uint64_t>(kv.block_tokens)) ? std::countr_zero(static_cast<uint64_t>(kv.block_tokens)) : -1};
  if (places_.few() > 0) AttendFew(task);
  task.items += places_.few();
  if (places_.many() > 0) cuda::Launch(task, places_.many(), cuda::AttendItem::kManyRows, {tiles_bytes_, attend_blocks_}, device_->stream());
  device_->Launched("Attend");
}

}  // namespace drover
