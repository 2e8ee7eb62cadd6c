// See block_pool.h.
#include "worker/kv/block_pool.h"

#include "common/check.h"

namespace drover {

BlockPool::BlockPool(int64_t blocks) : in_use_(static_cast<size_t>(blocks), false) {
  for (int64_t id = blocks - 1; id >= 0; --id) free_.push_back(static_cast<int32_t>(id));
}

bool BlockPool::GrowTo(std::vector<int32_t>& blocks, int64_t count) {
  const int64_t missing = count - static_cast<int64_t>(blocks.size());
  if (missing > available()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    const int32_t id = free_.back();
    free_.pop_back();
    in_use_[static_cast<size_t>(id)] = true;
    blocks.push_back(id);
  }
  return true;
}

void BlockPool::Release(std::vector<int32_t>& blocks) {
  // In reverse, so that the next owner gets the same ids in the same order.
  while (!blocks.empty()) {
    const int32_t id = blocks.back();
    blocks.pop_back();
    DROVER_CHECK(id >= 0 && id < total() && in_use_[static_cast<size_t>(id)]);
    in_use_[static_cast<size_t>(id)] = false;
    free_.push_back(id);
  }
}

}  // namespace drover
