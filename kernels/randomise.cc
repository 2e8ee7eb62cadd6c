// The plain form of Ops::Randomise.
#include "common/check.h"
#include "kernels/ops.h"

namespace drover {

void Ops::Randomise(const RandomMatrix& values, PackedWeight& weight) {
  DROVER_CHECK_EQ(weight.row_bytes % values.block_bytes, 0);
  const int64_t blocks = weight.row_bytes / values.block_bytes;
  for (int64_t row = 0; row < weight.rows; ++row)
    for (int64_t block = 0; block < blocks; ++block) values.Put(row, block, weight.row(row) + block * values.block_bytes);
}

}  // namespace drover
