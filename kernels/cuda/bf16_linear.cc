// See bf16_linear.h.
#include "kernels/cuda/bf16_linear.h"

#include <algorithm>
#include <utility>

#include "kernels/cuda/small_batch.h"
#include "kernels/cuda/tiles.h"

namespace drover {
namespace {

constexpr int64_t kValueBytes = 2, kWide = 8, kWideBytes = kWide * kValueBytes;
constexpr int64_t kRowsTogether = 64;  // parts of a weight hold a multiple of it, where they can

bool IsAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kWideBytes == 0; }

}  // namespace

absl::StatusOr<std::unique_ptr<Bf16Linear>> Bf16Linear::Create(const CudaOptions& options, CudaDevice& device, CudaMemory& memory) {
  if (options.tokens <= 0 || options.cols <= 0)
    return InvalidArgument("tokens, cols: found ", options.tokens, ", ", options.cols, ", expected the bounds that compute bf16 needs");
  const int64_t row_bytes = cuda::RoundedStride(options.cols) * kValueBytes;
  DROVER_ASSIGN_OR_RETURN(std::unique_ptr<Matmul> matmul, MakeMatmul(device, memory));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes activations, memory.Allocate(options.tokens * row_bytes));
  DROVER_ASSIGN_OR_RETURN(AlignedBytes tile, memory.Allocate(std::max(options.tile_bytes, row_bytes)));
  return std::unique_ptr<Bf16Linear>(new Bf16Linear(device, std::move(matmul), std::move(activations), std::move(tile)));
}

// Few tokens leave the memory to decide the pace: f32 weights are then read as they are, and the library has no way for other forms.
Bf16Way Bf16Linear::WayOf(DType dtype, Tensor x) const {
  if (x.rows <= cuda::kSmallTokens) return dtype == DType::kF32 ? Bf16Way::kNone : Bf16Way::kFew;
  const int64_t row_bytes = cuda::RoundedStride(x.cols) * kValueBytes;
  if (x.rows * row_bytes > activations_.size() || row_bytes > tile_.size()) return Bf16Way::kNone;
  if (dtype == DType::kBF16 || dtype == DType::kF32 || x.rows > cuda::kMediumTokens) return Bf16Way::kLibrary;
  return Bf16Way::kFew;
}

void Bf16Linear::RunFew(std::span<const LinearPart> parts, Tensor x) {
  if (x.rows <= cuda::kSmallTokens) return cuda::SmallBatch(device_, parts, x);
  const int64_t stride = cuda::RoundedStride(x.cols);
  cuda::MediumBatch(device_, parts, Rounded(x, stride), stride);
  held_work_ = device_.work();
}

bool Bf16Linear::Run(const LinearPart& part, Tensor x) {
  const auto& [weight, bias, y] = part;
  const int64_t depth = cuda::RoundedStride(x.cols);
  MatmulTask task{.bias = bias.empty() ? nullptr : bias.data(), .y = y.data, .rows = y.cols, .tokens = x.rows, .depth = depth,
                  .x_stride = depth, .y_stride = y.cols};
  task.x = Rounded(x, depth);
  bool done = false;
  if (weight.dtype == DType::kBF16 && weight.row_bytes % kWideBytes == 0 && weight.lead % kWide == 0 && weight.cols == depth &&
      IsAligned(weight.bytes.data())) {
    task.w = reinterpret_cast<const uint16_t*>(weight.bytes.data()) + weight.lead;
    task.w_stride = weight.row_bytes / kValueBytes;
    done = Multiply(task);
  } else {
    done = RunOpened(weight, task);
  }
  held_work_ = device_.work();
  return done;
}

const uint16_t* Bf16Linear::Rounded(Tensor x, int64_t stride) {
  auto* to = reinterpret_cast<uint16_t*>(activations_.data());
  const bool same = held_.data == x.data && held_.rows == x.rows && held_.cols == x.cols;
  if (same && held_work_ == device_.work()) return to;
  cuda::RoundRows(device_, x, stride, to);
  held_ = x;
  return to;
}

bool Bf16Linear::Multiply(MatmulTask task) {
  if (task.bias == nullptr || IsAligned(task.bias)) {
    if (matmul_->Run(task)) {
      device_.Launched("Linear");
      return true;
    }
    if (task.bias == nullptr) return false;
  }
  const float* bias = std::exchange(task.bias, nullptr);
  if (!matmul_->Run(task)) return false;
  device_.Launched("Linear");
  cuda::AddBias(device_, bias, task.rows, task.tokens, task.y_stride, task.y);
  return true;
}

bool Bf16Linear::RunOpened(const PackedWeight& weight, MatmulTask task) {
  auto* tile = reinterpret_cast<uint16_t*>(tile_.data());
  int64_t most = tile_.size() / (task.depth * kValueBytes);
  if (most >= kRowsTogether) most = most / kRowsTogether * kRowsTogether;
  task.w = tile;
  task.w_stride = task.depth;
  const int64_t rows = task.rows;
  for (int64_t first = 0; first < rows; first += most) {
    task.rows = std::min(most, rows - first);
    cuda::OpenRows(device_, weight, first, task.rows, task.depth, tile);
    if (!Multiply(task)) return false;
    task.y += task.rows;
    if (task.bias != nullptr) task.bias += task.rows;
  }
  return true;
}

}  // namespace drover
