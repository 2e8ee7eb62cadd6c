// Copies to shared memory that go on beside what a thread does.
#pragma once

#include <cstdint>

namespace drover::cuda {

__device__ inline unsigned SharedAddress(const void* shared) { return static_cast<unsigned>(__cvta_generic_to_shared(shared)); }

// 16 bytes, both places at multiples of 16.
__device__ inline void SendPiece(const void* global, void* shared) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)), "l"(global) : "memory");
}
// All that this thread has sent has come; other threads know after a barrier.
__device__ inline void AwaitPieces() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace drover::cuda
