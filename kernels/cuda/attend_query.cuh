// AttendQuery: one query of a block of attention, the keys that it sees there and what is known of its softmax.
#pragma once

#include "kernels/cuda/attend.cuh"

namespace drover::cuda {

struct AttendQuery {
  int32_t row = -1, head = 0, slot = 0, position = 0;  // no row: no query
  int32_t first = INT32_MAX, last = -1;                // keys
  int32_t part_keys = kTileKeys;
  float factor = 1;  // of what was summed before the tile
  Softmax part, all;
};

// Floats of shared memory, in the order of AttendBlock's members.
constexpr int64_t AttendRoom(int queries, int vector, int64_t head_dim, int64_t values) {
  const int64_t key_pieces = (head_dim + vector - 1) / vector;
  return queries * (key_pieces * vector + kTileKeys + static_cast<int64_t>(sizeof(AttendQuery) / sizeof(float)) + values) +
         kAttendThreads * vector + 2 * kTileKeys;
}

// Query i of the block: rows of the item first, then heads.
__device__ inline AttendQuery QueryOf(const AttendTask& task, const AttendItem& item, int64_t kv_head, int i) {
  const AttentionShape& shape = task.shape;
  const AttendCut& cut = task.cut;
  const int block = static_cast<int>(blockIdx.x) / cut.value_blocks;
  const int row = block % cut.row_blocks * cut.rows + i / cut.heads;
  const int64_t begin = (shape.first_kv_head + kv_head) * shape.group - shape.first_head, end = begin + shape.group;
  const int64_t head = (begin > 0 ? begin : 0) + block / cut.row_blocks % cut.head_blocks * cut.heads + i % cut.heads;
  AttendQuery query;
  if (i >= cut.rows * cut.heads || row >= item.rows || head >= end || head >= shape.heads) return query;
  const int32_t position = item.position + row, visible = static_cast<int32_t>(shape.FirstKey(position));
  query.part_keys = PartKeys(position - visible + 1, task.part_keys);
  int64_t from = visible, to = position;
  if (cut.parts > 0) {
    const int64_t part = (visible / query.part_keys + static_cast<int64_t>(blockIdx.z)) * query.part_keys;
    if (part > from) from = part;
    if (part + query.part_keys - 1 < to) to = part + query.part_keys - 1;
  }
  if (from > to) return query;
  query.row = item.row + row, query.slot = static_cast<int32_t>(blockIdx.y) * cut.rows_each + row, query.head = static_cast<int32_t>(head), query.position = position;
  query.first = static_cast<int32_t>(from), query.last = static_cast<int32_t>(to);
  query.all = Start(shape, head);
  return query;
}

// The keys of a block's queries.
struct AttendKeys {
  int kv_head = 0;
  int first_block = 0;
  int queries = 0;                       // from there on there are none
  int32_t first = INT32_MAX, last = -1;  // none, if the last is before the first

  // Where the KV head's values of a key lie, in elements. Keys before the first and after the last are not read: these stand for them.
  __device__ int64_t OffsetOf(const AttendTask& task, int32_t key) const {
    const auto tokens = static_cast<int32_t>(task.kv.block_tokens);
    key = max(first, min(last, key));
    const int32_t index = task.token_shift >= 0 ? key >> task.token_shift : key / tokens;
    const int64_t token = int64_t{task.blocks[first_block + index]} * tokens + (key - index * tokens);
    return token * task.kv.token_stride() + int64_t{kv_head} * static_cast<int32_t>(task.shape.head_dim);
  }
};

// Fills in the queries of this block, in shared memory. All threads call it.
template <int kQueries>
__device__ inline AttendKeys FindKeysOf(const AttendTask& task, AttendQuery* queries) {
  const AttendItem item = task.items[blockIdx.y];
  const AttendCut& cut = task.cut;
  AttendKeys keys{.kv_head = static_cast<int>(blockIdx.x) / cut.value_blocks / cut.row_blocks / cut.head_blocks, .first_block = item.first_block};
  if (threadIdx.x < kQueries) queries[threadIdx.x] = QueryOf(task, item, keys.kv_head, static_cast<int>(threadIdx.x));
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < kQueries; i += kWarp) {
    keys.first = min(keys.first, queries[i].first);
    keys.last = max(keys.last, queries[i].last);
    if (queries[i].row >= 0) keys.queries = i + 1;
  }
  for (int step = 1; step < kWarp; step *= 2) {
    keys.first = min(keys.first, __shfl_xor_sync(kAllLanes, keys.first, step));
    keys.last = max(keys.last, __shfl_xor_sync(kAllLanes, keys.last, step));
    keys.queries = max(keys.queries, __shfl_xor_sync(kAllLanes, keys.queries, step));
  }
  return keys;
}

}  // namespace drover::cuda
