// See cuda_ops.h: what is not an operation of its own.
#include "kernels/cuda/cuda_ops.h"

#include "common/check.h"
#include "kernels/cuda/attend_tiles.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/expert_tables.h"
#include "kernels/cuda/flash_attention.h"
#include "kernels/cuda/recordings.h"

namespace drover {

absl::StatusOr<std::unique_ptr<CudaOps>> CudaOps::Create(const CudaOptions& options) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<CudaDevice> device, CudaDevice::Open(options));
  std::unique_ptr<CudaOps> ops(new CudaOps(std::move(device), options));
  DROVER_ASSIGN_OR_RETURN(ops->memory_, CudaMemory::Create(*ops->device_));
  if (options.compute == CudaCompute::kBF16) {
    DROVER_ASSIGN_OR_RETURN(ops->bf16_, Bf16Linear::Create(options, *ops->device_, *ops->memory_));
    DROVER_ASSIGN_OR_RETURN(ops->tiles_bytes_, cuda::PrepareTiles(*ops->device_));
  }
  if (options.flashinfer) {
    DROVER_ASSIGN_OR_RETURN(ops->flash_, MakeFlashAttention(*ops->device_, *ops->memory_));
  }
  return ops;
}

CudaOps::CudaOps(std::unique_ptr<CudaDevice> device, const CudaOptions& options)
    : device_(std::move(device)),
      expert_tables_(std::make_unique<cuda::ExpertTables>(options.compute == CudaCompute::kBF16)),
      recordings_(std::make_unique<cuda::Recordings>(*device_)),
      attend_bytes_(options.attend_bytes),
      attend_blocks_(options.attend_blocks) {}
CudaOps::~CudaOps() = default;

Memory& CudaOps::memory() { return *memory_; }

void CudaOps::Begin(std::span<const SequenceRows> sequences) {
  device_->Use();
  begun_ = sequences;
  if (places_room_ == 0) old_rooms_.clear();  // nothing that was recorded uses them
  places_.Lay(sequences);
  if (flash_ != nullptr) flash_->Begin(sequences);
  const auto bytes = static_cast<int64_t>(places_.bytes().size());
  if (bytes > places_room_) {
    places_room_ = 2 * bytes;
    ++places_moved_;
  }
  if (places_room_ > near_places_.size()) {
    absl::StatusOr<AlignedBytes> room = memory_->Allocate(places_room_);
    if (!room.ok()) {
      device_->Keep(Annotate(room.status(), "room for the step's sequences"));
      places_.Lay({});
      return;
    }
    near_places_ = *std::move(room);
  }
  memory_->Upload(places_.bytes(), near_places_.data());
}

void CudaOps::CheckBegun(std::span<const SequenceRows> sequences, int64_t rows) const {
  DROVER_CHECK(sequences.data() == begun_.data() && sequences.size() == begun_.size());
  DROVER_CHECK_LE(places_.rows(), rows);
}

void CudaOps::SetDeadline(std::chrono::steady_clock::time_point deadline) { device_->SetDeadline(deadline); }

void CudaOps::Forget() {
  recordings_->Clear();
  places_room_ = 0;
}

absl::Status CudaOps::Replay(int64_t key, const std::function<absl::Status()>& work) {
  device_->Use();
  if (flash_ != nullptr) return work();  // its launches follow a plan that the host makes for each step
  return recordings_->Run(key, {places_moved_, places_.launch_keys()}, work);
}

absl::Status CudaOps::Finish() { return memory_->Finish(); }

}  // namespace drover
