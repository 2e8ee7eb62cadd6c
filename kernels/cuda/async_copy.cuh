// Copies to shared memory that go on beside what a thread does.
#pragma once

#include <cstdint>

namespace drover::cuda {

__device__ inline unsigned SharedAddress(const void* shared) { return static_cast<unsigned>(__cvta_generic_to_shared(shared)); }

// 16 bytes, both places at multiples of 16.
__device__ inline void SendPiece(const void* global, void* shared) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)), "l"(global) : "memory");
}
// What this thread has sent since the last call is a group, of any size.
__device__ inline void ClosePieces() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All of this thread's groups but the last `under_way`, at most 2, have come; other threads know after a barrier.
__device__ inline void AwaitPieces(int under_way) {
  if (under_way == 0)
    asm volatile("cp.async.wait_group 0;" ::: "memory");
  else if (under_way == 1)
    asm volatile("cp.async.wait_group 1;" ::: "memory");
  else
    asm volatile("cp.async.wait_group 2;" ::: "memory");
}

}  // namespace drover::cuda
