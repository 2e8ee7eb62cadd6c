// Linear and HeadLinear in f32 over weights in every storage form. A sum takes the columns in an order that only the weight decides, so
// that a token's result does not depend on its batch.
#include <vector>

#include "common/check.h"
#include "kernels/cuda/bf16_linear.h"
#include "kernels/cuda/linear_rows.cuh"
#include "kernels/cuda/small_batch.h"

namespace drover {
namespace cuda {
namespace {

// A block's rows of one head, for kTokens tokens.
template <class Read, int kRows, int kTokens>
__global__ void __launch_bounds__(kThreads) LinearRows(const __grid_constant__ LinearTasks all) {
  const LinearTask task = all.Of(all.Index());
  const int head = blockIdx.z, token = static_cast<int>(blockIdx.y) * kTokens;
  const float* x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) x[t] = task.x + head * task.x_head + min(token + t, task.tokens - 1) * task.x_token;
  MultiplyRows<Read, kRows, kTokens>(task, head, token, x);
}

struct LaunchLinear {
  const LinearTasks& tasks;  // at least one
  cudaStream_t stream;

  template <class Read>
  void operator()(Read) const {
    constexpr int kRows = 4, kTokens = 8;
    LinearTasks own = tasks;
    dim3 grid(ShareOut<Read>(own, kRows, kWarp), 1, static_cast<unsigned>(tasks.shared.heads));
    if (tasks.shared.tokens == 1) {
      LinearRows<Read, kRows, 1><<<grid, kThreads, 0, stream>>>(own);
    } else {
      grid.y = Blocks(tasks.shared.tokens, kTokens);
      LinearRows<Read, kRows, kTokens><<<grid, kThreads, 0, stream>>>(own);
    }
  }
};

// y[t,r] = bias[r], or 0.
struct BiasAlone {
  const float* bias;
  float* y;
  int64_t cols;
  __device__ void operator()(int64_t i) const { y[i] = bias == nullptr ? 0 : bias[i % cols]; }
};

void Check(const LinearPart& part, Tensor x) {
  DROVER_CHECK_EQ(x.rows, part.y.rows);
  DROVER_CHECK(part.bias.empty() || static_cast<int64_t>(part.bias.size()) == part.y.cols);
  DROVER_CHECK(part.weight.empty() || (part.weight.rows == part.y.cols && part.weight.cols == x.cols));
}

}  // namespace
}  // namespace cuda

void CudaOps::Linear(const PackedWeight& weight, std::span<const float> bias, Tensor x, Tensor y) {
  const LinearPart part{weight, bias, y};
  Linears({&part, 1}, x);
}

void CudaOps::Linears(std::span<const LinearPart> parts, Tensor x) {
  std::vector<LinearPart> left;
  for (const LinearPart& part : parts) {
    cuda::Check(part, x);
    const auto& [weight, bias, y] = part;
    if (weight.empty())
      cuda::ForEach(*device_, "Linear", y.size(), cuda::BiasAlone{bias.empty() ? nullptr : bias.data(), y.data, y.cols});
    else if (y.size() > 0)
      left.push_back(part);
  }
  for (size_t begin = 0, end = 0; begin < left.size(); begin = end) {
    for (end = begin + 1; end < left.size() && end - begin < cuda::LinearTasks::kMost;) {
      if (!cuda::LieAlike(left[begin].weight, left[end].weight)) break;
      ++end;
    }
    LinearsAlike(std::span(left).subspan(begin, end - begin), x);
  }
}

void CudaOps::LinearsAlike(std::span<const LinearPart> parts, Tensor x) {
  const Bf16Way way = bf16_ == nullptr ? Bf16Way::kNone : bf16_->WayOf(parts[0].weight.dtype, x);
  if (way == Bf16Way::kFew) return bf16_->RunFew(parts, x);
  if (way == Bf16Way::kNone) return LinearsInF32(parts, x);
  for (const LinearPart& part : parts)
    if (!bf16_->Run(part, x)) LinearsInF32({&part, 1}, x);
}

void CudaOps::LinearsInF32(std::span<const LinearPart> parts, Tensor x) {
  cuda::LinearTasks tasks;
  for (const LinearPart& part : parts) tasks.Add(cuda::TaskOf(part));
  tasks.shared.x = x.data;
  tasks.shared.x_token = x.cols;
  tasks.shared.wide_x = cuda::IsWide(tasks.shared.weight, x.data, x.cols, 0);
  cuda::WithReader(parts[0].weight.dtype, cuda::LaunchLinear{tasks, device_->stream()});
  device_->Launched("Linear");
}

void CudaOps::GatedLinear(GateKind kind, const LinearPart& gate, const LinearPart& up, Tensor x) {
  const bool few = x.rows <= cuda::kSmallTokens && bf16_ != nullptr && bf16_->WayOf(gate.weight.dtype, x) == Bf16Way::kFew;
  const bool any = gate.y.size() > 0 && !gate.weight.empty();
  if (!few || !any || !cuda::LieAlike(gate.weight, up.weight)) return Ops::GatedLinear(kind, gate, up, x);
  cuda::Check(gate, x);
  cuda::Check(up, x);
  DROVER_CHECK_EQ(gate.y.cols, up.y.cols);
  cuda::SmallGated(*device_, kind, gate, up, x);
}

void CudaOps::HeadLinear(const PackedWeight& weight, const HeadRows& part, Tensor x, Tensor y) {
  if (part.heads == 0) return;
  DROVER_CHECK(part.first >= 0 && part.rows >= 0 && part.first + part.rows <= part.stride);
  DROVER_CHECK(x.rows == y.rows && x.cols == part.heads * weight.cols && y.cols == part.heads * part.rows);
  DROVER_CHECK_EQ(weight.rows, part.heads * part.stride);
  if (y.size() == 0) return;
  cuda::LinearTask task{.weight = cuda::ViewOf(weight), .x = x.data, .y = y.data, .x_token = x.cols, .x_head = weight.cols,
                        .y_token = y.cols, .y_head = part.rows};
  task.tokens = static_cast<int32_t>(x.rows);
  task.heads = static_cast<int32_t>(part.heads);
  task.rows = static_cast<int32_t>(part.rows);
  task.first_row = static_cast<int32_t>(part.first);
  task.row_stride = static_cast<int32_t>(part.stride);
  task.wide_x = cuda::IsWide(task.weight, x.data, x.cols, weight.cols);
  cuda::LinearTasks tasks;
  tasks.Add(task);
  cuda::WithReader(weight.dtype, cuda::LaunchLinear{tasks, device_->stream()});
  device_->Launched("HeadLinear");
}

}  // namespace drover
