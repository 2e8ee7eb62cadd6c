// See cuda_ops.h: what is not an operation of its own.
#include "kernels/cuda/cuda_ops.h"

#include <algorithm>
#include <limits>

#include "common/check.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/device.h"

namespace drover {

absl::StatusOr<std::unique_ptr<CudaOps>> CudaOps::Create(const CudaOptions& options) {
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<CudaDevice> device, CudaDevice::Open(options));
  std::unique_ptr<CudaOps> ops(new CudaOps(std::move(device)));
  DROVER_ASSIGN_OR_RETURN(ops->memory_, CudaMemory::Create(*ops->device_));
  if (options.compute == CudaCompute::kBF16) {
    DROVER_ASSIGN_OR_RETURN(ops->bf16_, Bf16Linear::Create(options, *ops->device_, *ops->memory_));
  }
  return ops;
}

CudaOps::CudaOps(std::unique_ptr<CudaDevice> device) : device_(std::move(device)) {}
CudaOps::~CudaOps() = default;

Memory& CudaOps::memory() { return *memory_; }

void CudaOps::Begin(std::span<const SequenceRows> sequences) {
  device_->Use();
  begun_ = sequences;
  begun_rows_ = 0;
  size_t blocks = 0;
  for (const SequenceRows& sequence : sequences) {
    begun_rows_ = std::max(begun_rows_, sequence.first_row + sequence.rows);
    blocks += sequence.blocks.size();
  }
  places_.assign(2 * static_cast<size_t>(begun_rows_), -1);  // a row of no sequence has no position
  places_.reserve(places_.size() + blocks);
  int32_t first_block = 0;
  for (const SequenceRows& sequence : sequences) {
    DROVER_CHECK_LE(sequence.position + sequence.rows, std::numeric_limits<int32_t>::max());
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const auto row = static_cast<size_t>(sequence.first_row + i);
      places_[2 * row] = static_cast<int32_t>(sequence.position + i);
      places_[2 * row + 1] = first_block;
    }
    first_block += static_cast<int32_t>(sequence.blocks.size());
    places_.insert(places_.end(), sequence.blocks.begin(), sequence.blocks.end());
  }
  const std::span<const std::byte> bytes = std::as_bytes(std::span(places_));
  if (static_cast<int64_t>(bytes.size()) > near_places_.size()) {
    absl::StatusOr<AlignedBytes> room = memory_->Allocate(2 * static_cast<int64_t>(bytes.size()));
    if (!room.ok()) {
      device_->Keep(cudaErrorMemoryAllocation, "room for the step's sequences");
      begun_rows_ = 0;
      return;
    }
    near_places_ = *std::move(room);
  }
  memory_->Upload(bytes, near_places_.data());
}

absl::Status CudaOps::Finish() {
  device_->Use();
  return device_->Finish();
}

}  // namespace drover
