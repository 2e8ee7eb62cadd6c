// See nccl_communicator.h.
#include "worker/comm/nccl_communicator.h"

#include <algorithm>
#include <cstring>

#include "common/log.h"
#include "worker/comm/arguments.h"

namespace drover {
namespace {

ncclConfig_t NonBlocking() {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  return config;
}

// A buffer of one run for each rank, in rank order.
template <class T>
std::vector<std::span<T>> Runs(std::span<T> buffer, std::span<const int64_t> counts) {
  std::vector<std::span<T>> runs;
  for (const int64_t count : counts) {
    runs.push_back(buffer.first(static_cast<size_t>(count)));
    buffer = buffer.subspan(static_cast<size_t>(count));
  }
  return runs;
}

}  // namespace

absl::StatusOr<std::string> NcclCommunicator::MakeMeeting() {
  ncclUniqueId id;
  if (const ncclResult_t result = ncclGetUniqueId(&id); result != ncclSuccess)
    return Unavailable("NCCL: no id to meet by: ", ncclGetErrorString(result), ": ", ncclGetLastError(nullptr));
  return std::string(id.internal, sizeof(id.internal));
}

std::string NcclCommunicator::Version() {
  int code = 0;
  if (ncclGetVersion(&code) != ncclSuccess) return "unknown";
  return Cat(code / 10000, ".", code / 100 % 100, ".", code % 100);
}

absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::Join(const std::string& meeting, CudaDevice& device,
                                                                     const NcclSettings& settings,
                                                                     std::chrono::steady_clock::time_point deadline) {
  ncclUniqueId id;
  if (meeting.size() != sizeof(id.internal))
    return InvalidArgument("meeting: found ", meeting.size(), " bytes, expected the ", sizeof(id.internal), " of an NCCL id");
  if (settings.ranks < 1 || settings.rank < 0 || settings.rank >= settings.ranks)
    return InvalidArgument("NCCL: found rank ", settings.rank, " of ", settings.ranks);
  std::memcpy(id.internal, meeting.data(), meeting.size());
  auto family = std::make_shared<NcclFamily>(device, settings);
  family->SetDeadline(deadline);
  device.SetDeadline(NcclFamily::TimePoint::max());  // the last step's may be past
  DROVER_RETURN_IF_ERROR(family->Begin("joining"));
  NcclFamily::Member* member = family->Add();
  ncclConfig_t config = NonBlocking();
  const ncclResult_t started = ncclCommInitRankConfig(&member->comm, static_cast<int>(settings.ranks), id, static_cast<int>(settings.rank), &config);
  DROVER_RETURN_IF_ERROR(family->Settle(started, member->comm));
  member->made = true;
  Log(LogLevel::kInfo, "NCCL ranks have met", {{"rank", Cat(settings.rank)}, {"ranks", Cat(settings.ranks)}, {"nccl", Version()}});
  auto made = std::make_unique<NcclCommunicator>(std::move(family), member, settings.rank, settings.ranks);
  DROVER_RETURN_IF_ERROR(made->MeetPeers());
  return made;
}

NcclCommunicator::NcclCommunicator(std::shared_ptr<NcclFamily> family, NcclFamily::Member* member, int64_t rank, int64_t size)
    : family_(std::move(family)), member_(member), rank_(rank), size_(size) {}

NcclCommunicator::~NcclCommunicator() { family_->Remove(member_); }

absl::Status NcclCommunicator::MeetPeers() {
  const NcclSettings& settings = family_->settings();
  if (settings.rooms == nullptr) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<PeerGroup> peers, PeerGroup::Meet(*this, family_->device(), *settings.rooms));
  if (peers == nullptr) return absl::OkStatus();
  member_->peers = std::move(peers);
  if (settings.peer_floats == NcclSettings::kMeasured) return member_->peers->Measure(*this);
  member_->peers->set_floats_max(settings.peer_floats);
  return absl::OkStatus();
}

absl::Status NcclCommunicator::AllReduceSum(std::span<float> x) {
  DROVER_RETURN_IF_ERROR(family_->Begin("AllReduceSum"));
  if (x.empty()) return absl::OkStatus();
  if (PeerGroup* const peers = member_->peers.get(); peers != nullptr && peers->Takes(x)) {
    family_->Meets();
    peers->Sum(x);
    return absl::OkStatus();
  }
  return Queue(ncclAllReduce(x.data(), x.data(), x.size(), ncclFloat, ncclSum, member_->comm, stream()));
}

absl::Status NcclCommunicator::SumAddNorm(Ops& ops, Tensor a, const RowNorm& norm, Tensor x, Tensor y) {
  PeerGroup* const peers = member_->peers.get();
  if (peers == nullptr || !peers->Takes(a)) return Communicator::SumAddNorm(ops, a, norm, x, y);
  DROVER_RETURN_IF_ERROR(family_->Begin("AllReduceSum"));
  family_->Meets();
  peers->SumAddNorm(a, norm, x, y);
  return absl::OkStatus();
}

absl::Status NcclCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_RETURN_IF_ERROR(CheckGather(mine.size(), counts, rank_, size_, all.size()));
  DROVER_RETURN_IF_ERROR(family_->Begin("AllGather"));
  if (all.empty()) return absl::OkStatus();
  if (std::ranges::count(counts, counts[0]) == size_) {
    return Queue(ncclAllGather(mine.data(), all.data(), mine.size(), ncclFloat, member_->comm, stream()));
  }
  return Exchange(Parts(static_cast<size_t>(size_), mine), Runs(all, counts));
}

absl::Status NcclCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                        std::span<const int64_t> receive_counts) {
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll send", send_counts, size_, send.size()));
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll receive", receive_counts, size_, receive.size()));
  const auto me = static_cast<size_t>(rank_);
  if (send_counts[me] != receive_counts[me])
    return InvalidArgument("AllToAll: rank ", rank_, " sends itself ", send_counts[me], " floats and expects ", receive_counts[me]);
  DROVER_RETURN_IF_ERROR(family_->Begin("AllToAll"));
  return Exchange(Runs(send, send_counts), Runs(receive, receive_counts));
}

void NcclCommunicator::CopyOwn(std::span<const float> from, std::span<float> to) {
  if (from.empty() || from.data() == to.data()) return;
  CudaDevice& device = family_->device();
  device.Keep(cudaMemcpyAsync(to.data(), from.data(), from.size_bytes(), cudaMemcpyDeviceToDevice, device.stream()),
              "copying a rank's own part");
}

// One group: NCCL lets its sends and receives run beside each other, so their order does not matter.
absl::Status NcclCommunicator::Exchange(const Parts& send, const Places& receive) {
  const auto me = static_cast<size_t>(rank_);
  CopyOwn(send[me], receive[me]);
  bool calls = false;
  ncclResult_t result = ncclGroupStart();
  const auto keep = [&](ncclResult_t next) {
    calls = true;
    if (result == ncclSuccess || result == ncclInProgress) result = next;
  };
  for (size_t r = 0; r < send.size(); ++r) {
    if (r == me) continue;
    if (!send[r].empty()) keep(ncclSend(send[r].data(), send[r].size(), ncclFloat, static_cast<int>(r), member_->comm, stream()));
    if (!receive[r].empty()) keep(ncclRecv(receive[r].data(), receive[r].size(), ncclFloat, static_cast<int>(r), member_->comm, stream()));
  }
  const ncclResult_t ended = ncclGroupEnd();
  if (result == ncclSuccess || result == ncclInProgress) result = ended;
  if (!calls && result == ncclSuccess) return absl::OkStatus();
  return Queue(result);
}

absl::Status NcclCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_RETURN_IF_ERROR(CheckRoot(root, size_));
  DROVER_RETURN_IF_ERROR(family_->Begin("Broadcast"));
  if (bytes.empty()) return absl::OkStatus();
  return Queue(ncclBroadcast(bytes.data(), bytes.data(), bytes.size(), ncclChar, static_cast<int>(root), member_->comm, stream()));
}

absl::Status NcclCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Send", to, rank_, size_));
  DROVER_RETURN_IF_ERROR(family_->Begin("Send"));
  if (bytes.empty()) return absl::OkStatus();
  return Queue(ncclSend(bytes.data(), bytes.size(), ncclChar, static_cast<int>(to), member_->comm, stream()));
}

absl::Status NcclCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  DROVER_RETURN_IF_ERROR(CheckPeer("Receive", from, rank_, size_));
  DROVER_RETURN_IF_ERROR(family_->Begin("Receive"));
  if (bytes.empty()) return absl::OkStatus();
  return Queue(ncclRecv(bytes.data(), bytes.size(), ncclChar, static_cast<int>(from), member_->comm, stream()));
}

// NCCL fills the new communicator's place when the old one is ready again; the new one is not ready before it says so itself. The call
// is said to have succeeded while it is under way.
absl::StatusOr<std::unique_ptr<Communicator>> NcclCommunicator::Split(int64_t parts) {
  DROVER_RETURN_IF_ERROR(CheckSplit(parts, size_));
  DROVER_RETURN_IF_ERROR(family_->Begin("Split"));
  const int64_t run = size_ / parts;
  NcclFamily::Member* part = family_->Add();
  ncclConfig_t config = NonBlocking();
  const ncclResult_t started = ncclCommSplit(member_->comm, static_cast<int>(rank_ / run), static_cast<int>(rank_), &part->comm, &config);
  DROVER_RETURN_IF_ERROR(family_->Settle(started == ncclSuccess ? ncclInProgress : started, member_->comm));
  ncclResult_t state = ncclInternalError;
  if (part->comm != nullptr) ncclCommGetAsyncError(part->comm, &state);
  DROVER_RETURN_IF_ERROR(family_->Settle(state, part->comm));
  part->made = true;
  auto made = std::make_unique<NcclCommunicator>(family_, part, rank_ % run, run);
  DROVER_RETURN_IF_ERROR(made->MeetPeers());
  return made;
}

}  // namespace drover
