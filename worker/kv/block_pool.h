// BlockPool: which KV blocks are free. Pure bookkeeping; the memory behind the ids is in kv_store.
#pragma once

#include <cstdint>
#include <vector>

namespace drover {

class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);

  // Appends free ids to `blocks` until it holds `count`; false, and nothing changes, when there are too few.
  bool GrowTo(std::vector<int32_t>& blocks, int64_t count);
  // Takes the ids back and clears `blocks`.
  void Release(std::vector<int32_t>& blocks);

  int64_t total() const { return static_cast<int64_t>(in_use_.size()); }
  int64_t available() const { return static_cast<int64_t>(free_.size()); }
  int64_t used() const { return total() - available(); }

 private:
  std::vector<int32_t> free_;  // the last one is handed out next
  std::vector<bool> in_use_;   // by id
};

}  // namespace drover
