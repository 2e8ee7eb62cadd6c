// A stand-in for the header of this name: what a thread has sent comes when it waits for it, and not before.
#pragma once

#include <cstring>
#include <vector>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/cuda_runtime_api.h"

namespace drover::cuda {

struct SentPiece {
  const void* from;
  void* to;
};
inline thread_local std::vector<SentPiece> sent_pieces[1024];  // by thread of the block that runs

inline void SendPiece(const void* global, void* shared) {
  DROVER_CHECK(reinterpret_cast<uintptr_t>(global) % 16 == 0 && reinterpret_cast<uintptr_t>(shared) % 16 == 0);
  sent_pieces[threadIdx.x].push_back({global, shared});
}
inline void AwaitPieces() {
  for (const SentPiece& piece : sent_pieces[threadIdx.x]) std::memcpy(piece.to, piece.from, 16);
  sent_pieces[threadIdx.x].clear();
}

}  // namespace drover::cuda
