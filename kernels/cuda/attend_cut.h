// How queries are cut over the blocks of a launch of attention.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace drover::cuda {

// How the work of one KV head on the rows of an item is cut over blocks.
struct AttendCut {
  int heads = 1, head_blocks = 1;    // query heads at once, and the blocks they take
  int rows = 1, row_blocks = 1;      // of the item, likewise
  int rows_each = 1;                 // of an item at most
  int values = 0, value_blocks = 1;  // of a value row, likewise
  int key_lanes = 8;                 // of a warp that share a key
  int parts = 0;                     // blocks of each query's keys; 0: a block takes all keys and writes the result itself
  int stages = 2;                    // tiles in shared memory, of AttendTiles
  bool wide = false;                 // heads in the cache lie on multiples of 16 bytes
};

constexpr int64_t DivideUp(int64_t n, int64_t by) { return (n + by - 1) / by; }

// For items of at most `rows` rows, `queries` at once; every block has all value columns.
inline AttendCut CutOf(const AttentionShape& shape, int64_t rows, int queries, int parts) {
  const int64_t group = shape.group < shape.heads ? shape.group : shape.heads;
  AttendCut cut{.parts = parts};
  cut.head_blocks = static_cast<int>(DivideUp(group, queries));
  cut.heads = static_cast<int>(DivideUp(group, cut.head_blocks));
  cut.rows = queries / cut.heads;
  cut.rows_each = static_cast<int>(rows);
  cut.row_blocks = static_cast<int>(DivideUp(rows, cut.rows));
  return cut;
}

// Elements of the cache in 16 bytes.
inline int64_t VectorOf(DType type) { return type == DType::kBF16 ? 8 : 4; }

inline bool IsWide(const KvLayer& kv, const AttentionShape& shape) {
  const int64_t vector = VectorOf(kv.type);
  const auto aligned = [](const std::byte* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
  return shape.head_dim % vector == 0 && shape.ValueDim() % vector == 0 && kv.head_dim % vector == 0 && aligned(kv.keys) &&
         aligned(kv.values);
}

}  // namespace drover::cuda
