// A stand-in for the header of this name: what a thread has sent comes when it waits for it, and not before.
#pragma once

#include <cstring>
#include <deque>
#include <vector>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/kernel_language.h"

namespace drover::cuda {

struct SentPiece {
  const void* from;
  void* to;
};
using PieceGroup = std::vector<SentPiece>;
inline thread_local PieceGroup sent_pieces[1024];             // by thread of the block that runs
inline thread_local std::deque<PieceGroup> sent_groups[1024];  // the oldest first

inline void SendPiece(const void* global, void* shared) {
  DROVER_CHECK(reinterpret_cast<uintptr_t>(global) % 16 == 0 && reinterpret_cast<uintptr_t>(shared) % 16 == 0);
  sent_pieces[threadIdx.x].push_back({global, shared});
}
inline void ClosePieces() {
  sent_groups[threadIdx.x].push_back(std::move(sent_pieces[threadIdx.x]));
  sent_pieces[threadIdx.x].clear();
}
inline void AwaitPieces(int under_way) {
  DROVER_CHECK(under_way >= 0 && under_way <= 2);
  std::deque<PieceGroup>& groups = sent_groups[threadIdx.x];
  for (; groups.size() > static_cast<size_t>(under_way); groups.pop_front())
    for (const SentPiece& piece : groups.front()) std::memcpy(piece.to, piece.from, 16);
}

}  // namespace drover::cuda
