// MakeMatmul over cuBLASLt. The library counts columns first: y is [rows, tokens] there, w is [depth, rows] and taken transposed.
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <compare>
#include <map>
#include <optional>

#include "common/check.h"
#include "kernels/cuda/matmul.h"

namespace drover {
namespace {

constexpr int64_t kWorkspaceBytes = 32 << 20;  // what the library's authors advise for sm_90
constexpr uint32_t kInputAlignment = 16;

// What decides how a product is computed. Tokens are rounded up, so that steps of like sizes share a plan.
struct Shape {
  int64_t tokens, rows, depth, w_stride, x_stride, y_stride;
  uint32_t y_alignment;
  bool with_bias;
  auto operator<=>(const Shape&) const = default;
};

int64_t Bucket(int64_t tokens) {
  constexpr int64_t kStep = 256;
  if (tokens > kStep) return (tokens + kStep - 1) / kStep * kStep;
  return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tokens)));
}

uint32_t AlignmentOf(const float* y, int64_t stride) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(y) | static_cast<uint64_t>(stride) * sizeof(float) | 256;
  return uint32_t{1} << std::countr_zero(bits);
}

struct Problem {
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t w, x, y;
};

cublasStatus_t Describe(const Shape& shape, const float* bias, Problem& p) {
  const cublasOperation_t transposed = CUBLAS_OP_T;
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  const auto rows = static_cast<uint64_t>(shape.rows), tokens = static_cast<uint64_t>(shape.tokens);
  const auto depth = static_cast<uint64_t>(shape.depth);
  cublasStatus_t worst = CUBLAS_STATUS_SUCCESS;
  const auto keep = [&](cublasStatus_t status) { worst = worst == CUBLAS_STATUS_SUCCESS ? status : worst; };
  keep(cublasLtMatmulDescInit(&p.product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  keep(cublasLtMatmulDescSetAttribute(&p.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)));
  if (shape.with_bias) {
    keep(cublasLtMatmulDescSetAttribute(&p.product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
    keep(cublasLtMatmulDescSetAttribute(&p.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)));
  }
  keep(cublasLtMatrixLayoutInit(&p.w, CUDA_R_16BF, depth, rows, shape.w_stride));
  keep(cublasLtMatrixLayoutInit(&p.x, CUDA_R_16BF, depth, tokens, shape.x_stride));
  keep(cublasLtMatrixLayoutInit(&p.y, CUDA_R_32F, rows, tokens, shape.y_stride));
  return worst;
}

class CublasLtMatmul : public Matmul {
 public:
  CublasLtMatmul(CudaDevice& device, cublasLtHandle_t handle, AlignedBytes workspace)
      : device_(device), handle_(handle), workspace_(std::move(workspace)) {}
  ~CublasLtMatmul() override { cublasLtDestroy(handle_); }

  bool Run(const MatmulTask& task) override {
    DROVER_CHECK(task.depth % 8 == 0 && task.w_stride % 8 == 0 && task.x_stride % 8 == 0);
    Shape shape{Bucket(task.tokens), task.rows,      task.depth,          task.w_stride, task.x_stride,
                task.y_stride,       AlignmentOf(task.y, task.y_stride), task.bias != nullptr};
    if (const auto& plan = PlanFor(shape); plan.has_value() && Multiply(task, shape, *plan)) return true;
    if (shape.tokens == task.tokens) return false;
    shape.tokens = task.tokens;
    const auto& plan = PlanFor(shape);
    return plan.has_value() && Multiply(task, shape, *plan);
  }

 private:
  // The library's first choice for the shape; none where it has none.
  const std::optional<cublasLtMatmulAlgo_t>& PlanFor(const Shape& shape) {
    const auto [at, added] = plans_.try_emplace(shape);
    if (!added) return at->second;
    const auto* bias = reinterpret_cast<const float*>(uintptr_t{kInputAlignment});  // only its alignment is looked at
    Problem p;
    cublasLtMatmulPreferenceOpaque_t preference;
    if (!Took(Describe(shape, bias, p)) || !Took(Prefer(shape, preference))) return at->second;
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, &p.product, &p.w, &p.x, &p.y, &p.y, &preference, 1, &result, &found);
    if (Took(status) && found > 0 && result.state == CUBLAS_STATUS_SUCCESS) at->second = result.algo;
    return at->second;
  }

  cublasStatus_t Prefer(const Shape& shape, cublasLtMatmulPreferenceOpaque_t& preference) const {
    const auto bytes = static_cast<uint64_t>(workspace_.size());
    cublasStatus_t worst = cublasLtMatmulPreferenceInit(&preference);
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t name, const void* value, size_t size) {
      if (worst == CUBLAS_STATUS_SUCCESS) worst = cublasLtMatmulPreferenceSetAttribute(&preference, name, value, size);
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof(bytes));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &kInputAlignment, sizeof(kInputAlignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &kInputAlignment, sizeof(kInputAlignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &shape.y_alignment, sizeof(shape.y_alignment));
    set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &shape.y_alignment, sizeof(shape.y_alignment));
    return worst;
  }

  bool Multiply(const MatmulTask& task, Shape shape, const cublasLtMatmulAlgo_t& plan) {
    const float one = 1, zero = 0;
    shape.tokens = task.tokens;
    Problem p;
    if (!Took(Describe(shape, task.bias, p))) return false;
    return Took(cublasLtMatmul(handle_, &p.product, &one, task.w, &p.w, task.x, &p.x, &zero, task.y, &p.y, task.y, &p.y, &plan,
                               workspace_.data(), static_cast<size_t>(workspace_.size()), device_.stream()));
  }

  // False where the library does not serve what was asked; what has broken is kept.
  bool Took(cublasStatus_t status) {
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE)
      device_.Keep(Internal("CUDA device ", device_.index(), ": Linear: ", cublasLtGetStatusString(status)));
    return false;
  }

  CudaDevice& device_;
  cublasLtHandle_t handle_;
  AlignedBytes workspace_;
  std::map<Shape, std::optional<cublasLtMatmulAlgo_t>> plans_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Matmul>> MakeMatmul(CudaDevice& device, CudaMemory& memory) {
  DROVER_ASSIGN_OR_RETURN(AlignedBytes workspace, memory.Allocate(kWorkspaceBytes));
  cublasLtHandle_t handle = nullptr;
  if (const cublasStatus_t status = cublasLtCreate(&handle); status != CUBLAS_STATUS_SUCCESS)
    return Internal("CUDA device ", device.index(), ": starting cuBLASLt: ", cublasLtGetStatusString(status));
  return std::make_unique<CublasLtMatmul>(device, handle, std::move(workspace));
}

}  // namespace drover
