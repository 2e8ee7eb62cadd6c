// See nccl_family.h.
#include "worker/comm/nccl_family.h"

#include <algorithm>

#include "common/backoff.h"
#include "common/log.h"

namespace drover {

NcclFamily::NcclFamily(CudaDevice& device, const NcclSettings& settings)
    : device_(device), settings_(settings), wedged_(settings.wedged) {
  device_.Watch(*this);
}

NcclFamily::~NcclFamily() {
  device_.Unwatch(*this);
  AbortAll();
}

std::string NcclFamily::Where() const {
  return Cat(call_, " on rank ", settings_.rank, " of ", settings_.ranks, " (CUDA device ", device_.index(), ")");
}

absl::Status NcclFamily::Error(ncclResult_t result) const {
  const char* last = ncclGetLastError(nullptr);
  return Unavailable(Where(), ": NCCL: ", ncclGetErrorString(result), last == nullptr || *last == 0 ? "" : ": ",
                     last == nullptr ? "" : last);
}

absl::Status NcclFamily::Fail(const absl::Status& why) {
  if (!failed_.ok()) return failed_;
  failed_ = why;
  Log(LogLevel::kError, "NCCL communicators aborted", {{"reason", Message(why)}});
  AbortAll();
  return failed_;
}

// What was split off first, as it is younger. What is still being made comes last: it is held by the member it is split from.
void NcclFamily::AbortAll() {
  for (Member& member : members_)
    if (member.peers != nullptr) member.peers->Stop();
  for (auto member = members_.rbegin(); member != members_.rend(); ++member)
    if (member->made) AbortMember(*member);
  for (Member& member : members_) AbortMember(member);
}

void NcclFamily::AbortMember(Member& member) {
  if (member.comm == nullptr) return;
  wedged_.Arm(Cat("aborting NCCL after ", Where()), settings_.end_limit);
  device_.Forget();
  ncclCommAbort(std::exchange(member.comm, nullptr));
  wedged_.Disarm();
}

absl::Status NcclFamily::Alive() {
  if (!failed_.ok()) return failed_;
  if (asked_to_abort_) return Fail(Aborted(Where(), ": the group was aborted"));
  for (const Member& member : members_) {
    if (!member.made || member.comm == nullptr) continue;
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(member.comm, &state);
    if (asked != ncclSuccess) return Fail(Error(asked));
    if (state != ncclSuccess && state != ncclInProgress) return Fail(Error(state));
  }
  return absl::OkStatus();
}

absl::Status NcclFamily::InTime() {
  if (std::chrono::steady_clock::now() < deadline_) return absl::OkStatus();
  return Fail(DeadlineExceeded(Where(), " or a call before it: not done by the step's deadline"));
}

// Where nothing was asked of NCCL, it is not asked either: while weights are loaded, other threads wait for the device.
absl::Status NcclFamily::WhileWaiting() {
  if (!queued_) return failed_;
  DROVER_RETURN_IF_ERROR(Alive());
  return InTime();
}

absl::Status NcclFamily::WhenIdle() {
  queued_ = false;
  return Alive();
}

void NcclFamily::WhenReplayed() {
  queued_ = true;
  call_ = "a recorded step";
}

absl::Status NcclFamily::Begin(const char* call) {
  DROVER_RETURN_IF_ERROR(Alive());
  call_ = call;
  device_.Use();
  return absl::OkStatus();
}

absl::Status NcclFamily::Settle(ncclResult_t result, ncclComm_t comm) {
  for (Backoff backoff; result == ncclInProgress; backoff.Pause()) {
    DROVER_RETURN_IF_ERROR(Alive());
    DROVER_RETURN_IF_ERROR(InTime());
    if (const ncclResult_t asked = ncclCommGetAsyncError(comm, &result); asked != ncclSuccess) return Fail(Error(asked));
  }
  return result == ncclSuccess ? absl::OkStatus() : Fail(Error(result));
}

absl::Status NcclFamily::Queue(ncclResult_t result, ncclComm_t comm) {
  queued_ = true;
  DROVER_RETURN_IF_ERROR(Settle(result, comm));
  device_.Queued(call_);
  return absl::OkStatus();
}

bool NcclFamily::Finalize(ncclComm_t comm) {
  const TimePoint end = std::chrono::steady_clock::now() + settings_.end_limit / 2;
  ncclResult_t state = ncclCommFinalize(comm);
  for (Backoff backoff; state == ncclInProgress; backoff.Pause()) {
    if (asked_to_abort_ || std::chrono::steady_clock::now() >= end) return false;
    if (ncclCommGetAsyncError(comm, &state) != ncclSuccess) return false;
  }
  return state == ncclSuccess;
}

// What is not done in time fails: a kernel that waits for a peer would hold up NCCL's end, which waits for the whole device.
void NcclFamily::LetBeDone() {
  const TimePoint end = std::chrono::steady_clock::now() + settings_.end_limit / 2;
  for (Backoff backoff; Alive().ok() && cudaStreamQuery(device_.stream()) == cudaErrorNotReady; backoff.Pause())
    if (std::chrono::steady_clock::now() >= end) Fail(DeadlineExceeded(Where(), " or a call before it: not done when the group ended")).IgnoreError();
}

// What is under way may use the other ranks' memory.
void NcclFamily::EndPeers(Member& member) {
  member.peers->Stop();
  wedged_.Arm(Cat("ending sums over peer memory after ", Where()), settings_.end_limit);
  device_.Forget();
  cudaStreamSynchronize(device_.stream());
  member.peers.reset();
  wedged_.Disarm();
}

void NcclFamily::Remove(Member* member) {
  const auto place = std::ranges::find(members_, member, [](Member& m) { return &m; });
  device_.Use();
  if (place->peers != nullptr) LetBeDone();
  if (place->comm != nullptr && failed_.ok()) {
    wedged_.Arm(Cat("ending NCCL after ", Where()), settings_.end_limit);
    device_.Forget();
    if (Finalize(place->comm)) ncclCommDestroy(std::exchange(place->comm, nullptr));
    wedged_.Disarm();
  }
  AbortMember(*place);
  if (place->peers != nullptr) EndPeers(*place);
  members_.erase(place);
}

}  // namespace drover
