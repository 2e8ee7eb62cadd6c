// Arena: the memory of one step, where its operations compute. Bump allocation of a fixed size; a Scope gives back what was taken
// inside it.
#pragma once

#include <algorithm>

#include "common/check.h"
#include "kernels/tensor.h"
#include "kernels/memory.h"
#include "kernels/room.h"

namespace drover {

class Arena {
 public:
  static absl::StatusOr<Arena> Create(int64_t floats, Memory& memory) {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, memory.Allocate(floats * static_cast<int64_t>(sizeof(float))));
    return Arena(std::move(bytes));
  }

  // Not initialised; starts on a cache line.
  Tensor Take(int64_t rows, int64_t cols) {
    const int64_t size = Rounded(rows * cols);
    DROVER_CHECK_LE(used_ + size, floats_);
    Tensor tensor{static_cast<float*>(static_cast<void*>(memory_.data())) + used_, rows, cols};
    used_ += size;
    high_water_ = std::max(high_water_, used_);
    return tensor;
  }

  // What Take needs for a tensor of this many floats.
  static int64_t Rounded(int64_t floats) { return Room::Rounded(floats); }
  int64_t floats() const { return floats_; }
  int64_t high_water() const { return high_water_; }

  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}
    ~Scope() { arena_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    const int64_t mark_;
  };

 private:
  explicit Arena(AlignedBytes memory) : memory_(std::move(memory)), floats_(memory_.size() / static_cast<int64_t>(sizeof(float))) {}

  AlignedBytes memory_;
  int64_t floats_ = 0;
  int64_t used_ = 0, high_water_ = 0;
};

}  // namespace drover
