// PeerGroup: ranks of one communicator that write into each other's memory, so that sums of few floats need no library (peer_sum.h).
// PeerRooms: the memory of a rank that others write into.
#pragma once

#include <algorithm>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/device.h"
#include "worker/comm/communicator.h"
#include "worker/comm/peer_sum.h"

namespace drover {

// They live as long as the device: others may write into a room still when this rank has left the group. A later group gets it zeroed,
// and begins to count its marks at a random number.
class PeerRooms {
 public:
  struct Room {
    AlignedBytes bytes;
    bool taken = false;
  };

  explicit PeerRooms(Memory& memory) : memory_(memory) {}
  absl::StatusOr<Room*> Take(int64_t ranks);
  void Give(Room* room) { room->taken = false; }
  Memory& memory() { return memory_; }

 private:
  Memory& memory_;
  std::list<Room> rooms_;
};

// Seconds of a sum of so many floats, by a PeerGroup and by the library.
struct SumTimes {
  int64_t floats = 0;
  float peers = 0, library = 0;
};
// The most floats for which peers were not slower, nor for fewer.
int64_t PeerFloats(std::span<const SumTimes> ascending);

// Used by the thread that uses the device.
class PeerGroup {
 public:
  // All ranks at once. Null, on all of them, where one cannot reach another's memory: on another host, without a link, over kPeerRanksMax.
  static absl::StatusOr<std::unique_ptr<PeerGroup>> Meet(Communicator& ranks, CudaDevice& device, PeerRooms& rooms);
  // The device has to be done with all sums.
  ~PeerGroup();
  PeerGroup(const PeerGroup&) = delete;
  PeerGroup& operator=(const PeerGroup&) = delete;

  // What it is asked to sum: nothing at first.
  bool Takes(std::span<const float> x) const { return !x.empty() && static_cast<int64_t>(x.size()) <= floats_max_; }
  bool Takes(Tensor a) const { return Takes(a.all()) && a.rows <= kPeerRowsMax; }
  void set_floats_max(int64_t floats) { floats_max_ = std::min(floats, kPeerFloatsMax); }
  // Sets it to what is faster by trying. All ranks at once; the communicator's sums come here where it takes them.
  absl::Status Measure(Communicator& ranks);

  void Sum(std::span<float> x) { PeerSum(device_, places_, x); }
  void SumAddNorm(Tensor a, const RowNorm& norm, Tensor x, Tensor y) { PeerSumAddNorm(device_, places_, a, norm, x, y); }
  // Sums under way and later ones end at once, and are worth nothing.
  void Stop() { *stop_ = 1; }

 private:
  PeerGroup(CudaDevice& device, PeerRooms& rooms, PeerRooms::Room* room) : device_(device), rooms_(rooms), room_(room) {}
  struct Offer;
  absl::Status Prepare();
  Offer MakeOffer() const;
  // Whether every other rank's room could be opened.
  bool Open(std::span<const Offer> offers);
  std::span<float> Scratch() const;
  // mine of every rank, in rank order.
  absl::StatusOr<std::vector<float>> Gather(Communicator& ranks, std::span<const float> mine) const;
  absl::StatusOr<float> SecondsOfSum(Communicator& ranks, int64_t floats);

  CudaDevice& device_;
  PeerRooms& rooms_;
  PeerRooms::Room* const room_;
  PeerPlaces places_;
  std::vector<void*> opened_;
  int* stop_ = nullptr;  // pinned
  int64_t floats_max_ = 0;
};

}  // namespace drover
