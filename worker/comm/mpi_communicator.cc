// See mpi_communicator.h.
#include "worker/comm/mpi_communicator.h"

#include <sched.h>

#include <algorithm>
#include <climits>
#include <thread>

#include "common/check.h"
#include "models/shard.h"
#include "worker/comm/arguments.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTag = 1;
constexpr size_t kGatherFloats = 16 << 10;  // sums up to this go in one all-gather: fewer messages, more bytes
constexpr int64_t kSumBlock = 1 << 20;      // floats summed at a time; bounds the scratch memory
constexpr int kYields = 2000;               // polls that only give the core away; then they sleep
constexpr auto kSleep = std::chrono::microseconds(50);

absl::Status FromMpi(int code, std::string_view call) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return Unavailable(call, ": ", std::string_view(text, static_cast<size_t>(length)));
}

// Counts and offsets as MPI wants them. The caller has checked that the sum fits an int.
struct Layout {
  std::vector<int> counts, offsets;
  explicit Layout(std::span<const int64_t> sizes) {
    int offset = 0;
    for (const int64_t size : sizes) {
      counts.push_back(static_cast<int>(size));
      offsets.push_back(offset);
      offset += static_cast<int>(size);
    }
  }
};

std::vector<int64_t> EvenParts(int64_t length, int64_t size) {
  std::vector<int64_t> parts;
  for (int64_t r = 0; r < size; ++r) parts.push_back(PartOf(length, r, size).size());
  return parts;
}

// sum ← Σ_r parts[r·stride + i], in rank order.
void SumInRankOrder(const float* parts, int64_t stride, int64_t ranks, std::span<float> sum) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = parts[i];
  for (int64_t r = 1; r < ranks; ++r)
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += parts[r * stride + static_cast<int64_t>(i)];
}

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, std::shared_ptr<std::atomic<bool>> dead, std::shared_ptr<Deadline> deadline,
                                 int64_t elements_max)
    : comm_(comm), dead_(std::move(dead)), deadline_(std::move(deadline)), elements_max_(std::min<int64_t>(elements_max, INT_MAX)) {
  int rank = 0, size = 1;
  MPI_Comm_rank(comm_, &rank);
  MPI_Comm_size(comm_, &size);
  rank_ = rank;
  size_ = size;
}

MpiCommunicator::~MpiCommunicator() {
  if (!dead_->load()) MPI_Comm_free(&comm_);
}

absl::Status MpiCommunicator::Alive() const {
  return dead_->load() ? Aborted("the group was aborted") : absl::OkStatus();
}

absl::Status MpiCommunicator::Fail(absl::Status why) {
  dead_->store(true);
  return why;
}

absl::Status MpiCommunicator::Finish(int started, std::span<MPI_Request> requests, std::string_view call) {
  if (started != MPI_SUCCESS) return Fail(FromMpi(started, call));
  for (int64_t polls = 0;; ++polls) {
    int done = 0;
    const int code = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS) return Fail(FromMpi(code, call));
    if (done != 0) return absl::OkStatus();
    DROVER_RETURN_IF_ERROR(Alive());
    if (Clock::now() >= *deadline_)
      return Fail(DeadlineExceeded(call, ": a rank of the group did not answer before the step's deadline"));
    if (polls < kYields)
      sched_yield();
    else
      std::this_thread::sleep_for(kSleep);
  }
}

absl::Status MpiCommunicator::AllReduceSum(std::span<float> x) {
  DROVER_RETURN_IF_ERROR(Alive());
  if (x.empty() || size_ == 1) return absl::OkStatus();
  if (x.size() <= kGatherFloats && static_cast<int64_t>(x.size()) * size_ <= elements_max_) return SumByGather(x);
  const auto block = static_cast<size_t>(std::min(kSumBlock, elements_max_));
  for (size_t begin = 0; begin < x.size(); begin += block)
    DROVER_RETURN_IF_ERROR(SumByScatter(x.subspan(begin, std::min(block, x.size() - begin))));
  return absl::OkStatus();
}

absl::Status MpiCommunicator::SumByGather(std::span<float> x) {
  const int count = static_cast<int>(x.size());
  gathered_.resize(std::max(gathered_.size(), x.size() * static_cast<size_t>(size_)));
  MPI_Request request;
  const int started = MPI_Iallgather(x.data(), count, MPI_FLOAT, gathered_.data(), count, MPI_FLOAT, comm_, &request);
  DROVER_RETURN_IF_ERROR(Finish(started, {&request, 1}, "MPI_Iallgather"));
  SumInRankOrder(gathered_.data(), count, size_, x);
  return absl::OkStatus();
}

// Rank r receives slice r of everybody, sums it, and gives the sum to all.
absl::Status MpiCommunicator::SumByScatter(std::span<float> x) {
  const Layout slices(EvenParts(static_cast<int64_t>(x.size()), size_));
  const int own = slices.counts[static_cast<size_t>(rank_)];
  const Layout arrivals(std::vector<int64_t>(static_cast<size_t>(size_), own));
  gathered_.resize(std::max(gathered_.size(), static_cast<size_t>(own * size_)));
  slice_.resize(std::max(slice_.size(), static_cast<size_t>(own)));
  MPI_Request request;
  int started = MPI_Ialltoallv(x.data(), slices.counts.data(), slices.offsets.data(), MPI_FLOAT, gathered_.data(),
                               arrivals.counts.data(), arrivals.offsets.data(), MPI_FLOAT, comm_, &request);
  DROVER_RETURN_IF_ERROR(Finish(started, {&request, 1}, "MPI_Ialltoallv"));
  SumInRankOrder(gathered_.data(), own, size_, {slice_.data(), static_cast<size_t>(own)});
  started = MPI_Iallgatherv(slice_.data(), own, MPI_FLOAT, x.data(), slices.counts.data(), slices.offsets.data(), MPI_FLOAT, comm_,
                            &request);
  return Finish(started, {&request, 1}, "MPI_Iallgatherv");
}

absl::Status MpiCommunicator::AllGather(std::span<const float> mine, std::span<const int64_t> counts, std::span<float> all) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckGather(mine.size(), counts, rank_, size_, all.size()));
  if (all.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(all.size()) <= elements_max_) {
    const Layout layout(counts);
    MPI_Request request;
    const int started = MPI_Iallgatherv(mine.data(), static_cast<int>(mine.size()), MPI_FLOAT, all.data(), layout.counts.data(),
                                        layout.offsets.data(), MPI_FLOAT, comm_, &request);
    return Finish(started, {&request, 1}, "MPI_Iallgatherv");
  }
  size_t offset = 0;
  for (size_t r = 0; r < counts.size(); offset += static_cast<size_t>(counts[r++])) {
    const std::span<float> part = all.subspan(offset, static_cast<size_t>(counts[r]));
    if (static_cast<int64_t>(r) == rank_) std::ranges::copy(mine, part.begin());
    DROVER_RETURN_IF_ERROR(Broadcast(std::as_writable_bytes(part), static_cast<int64_t>(r)));
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::AllToAll(std::span<const float> send, std::span<const int64_t> send_counts, std::span<float> receive,
                                       std::span<const int64_t> receive_counts) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll send", send_counts, size_, send.size()));
  DROVER_RETURN_IF_ERROR(CheckCounts("AllToAll receive", receive_counts, size_, receive.size()));
  std::vector<std::span<const float>> to;
  std::vector<std::span<float>> from;
  for (size_t r = 0, out = 0, in = 0; r < send_counts.size(); ++r) {
    to.push_back(send.subspan(out, static_cast<size_t>(send_counts[r])));
    from.push_back(receive.subspan(in, static_cast<size_t>(receive_counts[r])));
    out += to.back().size();
    in += from.back().size();
  }
  const auto me = static_cast<size_t>(rank_);
  if (to[me].size() != from[me].size())
    return InvalidArgument("AllToAll: rank ", rank_, " sends itself ", to[me].size(), " floats and expects ", from[me].size());
  std::ranges::copy(to[me], from[me].begin());
  for (int64_t step = 1; step < size_; ++step) {
    const int64_t next = (rank_ + step) % size_, previous = (rank_ + size_ - step) % size_;
    DROVER_RETURN_IF_ERROR(Exchange(std::as_bytes(to[static_cast<size_t>(next)]), next,
                                    std::as_writable_bytes(from[static_cast<size_t>(previous)]), previous));
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Exchange(std::span<const std::byte> send, int64_t to, std::span<std::byte> receive, int64_t from) {
  const auto piece = static_cast<size_t>(elements_max_);
  while (!send.empty() || !receive.empty()) {
    const std::span<const std::byte> out = send.first(std::min(piece, send.size()));
    const std::span<std::byte> in = receive.first(std::min(piece, receive.size()));
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int started = MPI_SUCCESS;
    if (!in.empty())
      started = MPI_Irecv(in.data(), static_cast<int>(in.size()), MPI_BYTE, static_cast<int>(from), kTag, comm_, &requests[0]);
    if (started == MPI_SUCCESS && !out.empty())
      started = MPI_Isend(out.data(), static_cast<int>(out.size()), MPI_BYTE, static_cast<int>(to), kTag, comm_, &requests[1]);
    DROVER_RETURN_IF_ERROR(Finish(started, requests, "MPI exchange"));
    send = send.subspan(out.size());
    receive = receive.subspan(in.size());
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Broadcast(std::span<std::byte> bytes, int64_t root) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckRoot(root, size_));
  const auto piece = static_cast<size_t>(elements_max_);
  for (size_t begin = 0; begin < bytes.size(); begin += piece) {
    const std::span<std::byte> part = bytes.subspan(begin, std::min(piece, bytes.size() - begin));
    MPI_Request request;
    const int started =
        MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, static_cast<int>(root), comm_, &request);
    DROVER_RETURN_IF_ERROR(Finish(started, {&request, 1}, "MPI_Ibcast"));
  }
  return absl::OkStatus();
}

// MPI_Comm_split cannot be polled, so the ranks meet first: then nobody is missing any more.
absl::StatusOr<std::unique_ptr<Communicator>> MpiCommunicator::Split(int64_t parts) {
  DROVER_RETURN_IF_ERROR(CheckSplit(parts, size_));
  float here = 0;
  DROVER_RETURN_IF_ERROR(AllReduceSum({&here, 1}));
  MPI_Comm run = MPI_COMM_NULL;
  const int code = MPI_Comm_split(comm_, static_cast<int>(rank_ / (size_ / parts)), static_cast<int>(rank_), &run);
  if (code != MPI_SUCCESS) return Fail(FromMpi(code, "MPI_Comm_split"));
  MPI_Comm_set_errhandler(run, MPI_ERRORS_RETURN);
  return std::make_unique<MpiCommunicator>(run, dead_, deadline_, elements_max_);
}

absl::Status MpiCommunicator::Send(std::span<const std::byte> bytes, int64_t to) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckPeer("Send", to, rank_, size_));
  return Exchange(bytes, to, {}, to);
}

absl::Status MpiCommunicator::Receive(std::span<std::byte> bytes, int64_t from) {
  DROVER_RETURN_IF_ERROR(Alive());
  DROVER_RETURN_IF_ERROR(CheckPeer("Receive", from, rank_, size_));
  return Exchange({}, from, bytes, from);
}

}  // namespace drover
