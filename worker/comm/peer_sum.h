// The one-shot sum of a few floats over ranks that reach each other's memory. Each rank writes its floats into the others' rooms, every
// one with a mark that says to which sum it belongs, in one word of 64 bits that arrives as a whole; then it adds up what has come
// into its own room, in rank order, as it comes. Nothing else is said between ranks: the protocol that NCCL calls LL.
//
// The words of one sum lie in one half of the rooms, those of the next in the other. That is enough: a rank that makes sum n has all the
// others' words of n - 1, so each of them had begun n - 1 and ended n - 2, whose half is written now.
#pragma once

#include <span>

#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace drover {

inline constexpr int64_t kPeerRanksMax = 16;
inline constexpr int64_t kPeerFloatsMax = 128 << 10;  // of a sum
inline constexpr int64_t kPeerRowsMax = 128;          // of PeerSumAddNorm: a block each, all at work at once

// In a rank's own memory.
struct PeerCounter {
  uint64_t done = 0;  // sums; the same on all ranks
  int ended = 0;      // blocks of the sum under way
  int stopped = 0;    // not 0: a sum was given up. The others must not take what follows from it for a sum's part: nothing is sent any more
};

// What a rank sees of the rooms. A room is [2 halves][ranks that write][kPeerFloatsMax] words.
struct PeerPlaces {
  uint64_t* rooms[kPeerRanksMax] = {};  // by rank, its own as well
  int rank = 0, ranks = 1;
  PeerCounter* counter = nullptr;
  const int* stop = nullptr;  // of the host: waits end when it is not 0, and sums are worth nothing from then on
};

inline int64_t PeerRoomWords(int64_t ranks) { return 2 * ranks * kPeerFloatsMax; }

// x ← Σ_ranks x, the same bits on every rank. At most kPeerFloatsMax floats, at least one. All ranks queue the same sums in one order.
void PeerSum(CudaDevice& device, const PeerPlaces& places, std::span<float> x);
// a ← Σ_ranks a, then Ops::AddNorm: the same bits. At most kPeerRowsMax rows.
void PeerSumAddNorm(CudaDevice& device, const PeerPlaces& places, Tensor a, const RowNorm& norm, Tensor x, Tensor y);

}  // namespace drover
