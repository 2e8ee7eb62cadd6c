// See peer_group.h. A room's bytes: the counter, scratch for what is said and measured when ranks meet, then the words.
#include "worker/comm/peer_group.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>

#include "common/log.h"

namespace drover {
namespace {

constexpr int64_t kCounterBytes = 256, kScratchBytes = kPeerFloatsMax * sizeof(float), kWordsAt = kCounterBytes + kScratchBytes;
constexpr int kWarmUps = 2, kTries = 16;
constexpr std::array<int64_t, 5> kSizes = {1 << 10, 4 << 10, 16 << 10, 64 << 10, kPeerFloatsMax};

int64_t RoomBytes(int64_t ranks) { return kWordsAt + PeerRoomWords(ranks) * int64_t{sizeof(uint64_t)}; }

// Of this start of this host, whatever its containers call themselves.
std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

}  // namespace

// What a rank tells the others, in whole floats.
struct PeerGroup::Offer {
  char host[40] = {};
  cudaIpcMemHandle_t room{};
  uint32_t sums = 0;  // rank 0's: where all begin to count
  float made = 0;     // 1: the handle is good

  using Words = std::array<float, 28>;
};

int64_t PeerFloats(std::span<const SumTimes> ascending) {
  int64_t floats = 0;
  for (const SumTimes& times : ascending) {
    if (!(times.peers <= times.library)) break;
    floats = times.floats;
  }
  return floats;
}

absl::StatusOr<PeerRooms::Room*> PeerRooms::Take(int64_t ranks) {
  const int64_t size = RoomBytes(ranks);
  auto room = std::ranges::find_if(rooms_, [size](const Room& r) { return !r.taken && r.bytes.size() >= size; });
  if (room == rooms_.end()) {
    DROVER_ASSIGN_OR_RETURN(AlignedBytes bytes, memory_.Allocate(size));
    room = rooms_.insert(room, {std::move(bytes)});
  }
  room->taken = true;
  return &*room;
}

absl::StatusOr<std::unique_ptr<PeerGroup>> PeerGroup::Meet(Communicator& ranks, CudaDevice& device, PeerRooms& rooms) {
  if (ranks.size() < 2 || ranks.size() > kPeerRanksMax) return nullptr;
  DROVER_ASSIGN_OR_RETURN(PeerRooms::Room * room, rooms.Take(ranks.size()));
  std::unique_ptr<PeerGroup> group(new PeerGroup(device, rooms, room));
  group->places_.rank = static_cast<int>(ranks.rank());
  group->places_.ranks = static_cast<int>(ranks.size());
  DROVER_RETURN_IF_ERROR(group->Prepare());
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> all, group->Gather(ranks, std::bit_cast<Offer::Words>(group->MakeOffer())));
  std::vector<Offer> offers;
  for (auto words = all.begin(); words != all.end(); words += sizeof(Offer) / sizeof(float)) {
    Offer::Words of_rank;
    std::copy_n(words, of_rank.size(), of_rank.begin());
    offers.push_back(std::bit_cast<Offer>(of_rank));
  }
  const float opened = group->Open(offers) ? 1 : 0;
  const PeerCounter counter{.done = offers[0].sums};
  rooms.memory().Upload(std::as_bytes(std::span(&counter, 1)), room->bytes.data());
  // Also says to all that this rank's room is ready for words.
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> reached, group->Gather(ranks, {&opened, 1}));
  if (std::ranges::count(reached, 0.0f) > 0) return nullptr;
  return group;
}

absl::Status PeerGroup::Prepare() {
  device_.Use();
  void* stop = nullptr;
  if (const cudaError_t error = cudaMallocHost(&stop, sizeof(int)); error != cudaSuccess) return device_.Error(error, "pinned memory");
  stop_ = static_cast<int*>(stop);
  *stop_ = 0;
  places_.stop = stop_;
  places_.counter = static_cast<PeerCounter*>(static_cast<void*>(room_->bytes.data()));
  rooms_.memory().Zero({room_->bytes.data(), static_cast<size_t>(RoomBytes(places_.ranks))});
  return absl::OkStatus();
}

PeerGroup::Offer PeerGroup::MakeOffer() const {
  static_assert(sizeof(Offer) == sizeof(Offer::Words));
  Offer offer;
  BootId().copy(offer.host, sizeof(offer.host));
  offer.sums = static_cast<uint32_t>(std::random_device()());
  offer.made = cudaIpcGetMemHandle(&offer.room, room_->bytes.data()) == cudaSuccess && offer.host[0] != 0 ? 1 : 0;
  cudaGetLastError();  // no error of the next operation
  return offer;
}

bool PeerGroup::Open(std::span<const Offer> offers) {
  for (size_t r = 0; r < offers.size(); ++r) {
    void* room = room_->bytes.data();
    if (static_cast<int>(r) != places_.rank) {
      if (offers[r].made == 0 || std::memcmp(offers[r].host, offers[0].host, sizeof(Offer::host)) != 0) return false;
      const cudaError_t error = cudaIpcOpenMemHandle(&room, offers[r].room, cudaIpcMemLazyEnablePeerAccess);
      cudaGetLastError();
      if (error != cudaSuccess) {
        Log(LogLevel::kInfo, "a rank's memory cannot be reached", {{"rank", Cat(r)}, {"from", Cat(places_.rank)}, {"reason", cudaGetErrorString(error)}});
        return false;
      }
      opened_.push_back(room);
    }
    places_.rooms[r] = static_cast<uint64_t*>(static_cast<void*>(static_cast<std::byte*>(room) + kWordsAt));
  }
  return offers[static_cast<size_t>(places_.rank)].made != 0;
}

PeerGroup::~PeerGroup() {
  device_.Use();
  for (void* room : opened_) cudaIpcCloseMemHandle(room);
  if (stop_ != nullptr) cudaFreeHost(stop_);
  rooms_.Give(room_);
}

std::span<float> PeerGroup::Scratch() const {
  return {static_cast<float*>(static_cast<void*>(room_->bytes.data() + kCounterBytes)), static_cast<size_t>(kPeerFloatsMax)};
}

absl::StatusOr<std::vector<float>> PeerGroup::Gather(Communicator& ranks, std::span<const float> mine) const {
  const size_t each = mine.size(), size = each * static_cast<size_t>(ranks.size());
  const std::span<float> own = Scratch().first(each), all = Scratch().subspan(each, size);
  std::vector<float> gathered(size);
  rooms_.memory().Upload(std::as_bytes(mine), std::as_writable_bytes(own).data());
  const std::vector<int64_t> counts(static_cast<size_t>(ranks.size()), static_cast<int64_t>(each));
  DROVER_RETURN_IF_ERROR(ranks.AllGather(own, counts, all));
  DROVER_RETURN_IF_ERROR(rooms_.memory().Download(std::as_bytes(all).data(), std::as_writable_bytes(std::span(gathered))));
  return gathered;
}

absl::StatusOr<float> PeerGroup::SecondsOfSum(Communicator& ranks, int64_t floats) {
  const std::span<float> x = Scratch().first(static_cast<size_t>(floats));
  std::chrono::steady_clock::time_point start;
  for (int i = -kWarmUps; i < kTries; ++i) {
    if (i == 0) {
      DROVER_RETURN_IF_ERROR(device_.Finish());
      start = std::chrono::steady_clock::now();
    }
    DROVER_RETURN_IF_ERROR(ranks.AllReduceSum(x));
  }
  DROVER_RETURN_IF_ERROR(device_.Finish());
  return std::chrono::duration<float>(std::chrono::steady_clock::now() - start).count() / kTries;
}

// A rank's times differ from another's; all decide by the slowest.
absl::Status PeerGroup::Measure(Communicator& ranks) {
  std::vector<float> mine;
  for (const int64_t floats : kSizes) {
    for (const int64_t most : {kPeerFloatsMax, int64_t{0}}) {
      floats_max_ = most;
      DROVER_ASSIGN_OR_RETURN(const float seconds, SecondsOfSum(ranks, floats));
      mine.push_back(seconds);
    }
  }
  DROVER_ASSIGN_OR_RETURN(const std::vector<float> all, Gather(ranks, mine));
  std::vector<SumTimes> slowest(kSizes.size());
  for (size_t at = 0; at < all.size(); at += 2) {
    const size_t size = at / 2 % kSizes.size();
    slowest[size] = {kSizes[size], std::max(slowest[size].peers, all[at]), std::max(slowest[size].library, all[at + 1])};
  }
  floats_max_ = PeerFloats(slowest);
  if (ranks.rank() > 0) return absl::OkStatus();
  std::string text;
  for (const auto& [floats, peers, library] : slowest)
    text += Cat(text.empty() ? "" : ", ", floats * 4, " B ", std::lround(peers * 1e6f), "/", std::lround(library * 1e6f));
  Log(LogLevel::kInfo, "small sums over peer memory", {{"bytes_max", Cat(floats_max_ * 4)}, {"us_peers_library", text}});
  return absl::OkStatus();
}

}  // namespace drover
