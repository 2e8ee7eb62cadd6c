// The stand-in for cuBLASLt: plain loops behind the library's checks.
#include "tests/kernels/cuda_on_host/cublasLt.h"

#include "common/dtype.h"

namespace {

constexpr uint64_t kWorkspaceBytes = 1 << 20;  // that every plan wants

bool Set(void* to, const void* value, size_t size, size_t expected) {
  if (value == nullptr || size != expected) return false;
  std::memcpy(to, value, size);
  return true;
}
cublasStatus_t ValidIf(bool good) { return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE; }

bool IsAligned(const void* p, uint32_t alignment) { return reinterpret_cast<uintptr_t>(p) % alignment == 0; }
uint32_t BiasAlignment(const float* bias) {
  for (uint32_t alignment = 256;; alignment /= 2)
    if (IsAligned(bias, alignment)) return alignment;
}

float BFloat16At(const void* matrix, const cublasLtMatrixLayoutOpaque_t& layout, uint64_t row, uint64_t col) {
  return drover::BFloat16ToFloat(static_cast<const uint16_t*>(matrix)[row + col * static_cast<uint64_t>(layout.stride)]);
}

}  // namespace

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t name, const void* value,
                                              size_t size) {
  switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return ValidIf(Set(&product->transposed[0], value, size, 4));
    case CUBLASLT_MATMUL_DESC_TRANSB: return ValidIf(Set(&product->transposed[1], value, size, 4));
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return ValidIf(Set(&product->epilogue, value, size, 4));
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return ValidIf(Set(&product->bias, value, size, 8));
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, size_t size) {
  if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return ValidIf(Set(&preference->workspace, value, size, 8));
  return ValidIf(Set(&preference->alignment[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size, 4));
}

// Refused: other types; sizes that do not agree; rows of A or B that are not multiples of 16 bytes. Not served: one row.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int asked, cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = 0;
  if (asked < 1 || a->type != CUDA_R_16BF || b->type != CUDA_R_16BF || c->type != CUDA_R_32F || d->type != CUDA_R_32F ||
      product->compute != CUBLAS_COMPUTE_32F || product->scale != CUDA_R_32F)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (product->transposed[0] != CUBLAS_OP_T || product->transposed[1] != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool agree = a->rows == b->rows && a->cols == d->rows && b->cols == d->cols && c->rows == d->rows && c->cols == d->cols;
  const auto at_least = [](const cublasLtMatrixLayoutOpaque_t& layout) { return layout.stride >= static_cast<int64_t>(layout.rows); };
  if (!agree || !at_least(*a) || !at_least(*b) || !at_least(*c) || !at_least(*d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (a->stride % 8 != 0 || b->stride % 8 != 0 || c->stride != d->stride) return CUBLAS_STATUS_INVALID_VALUE;
  const bool biased = product->epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (biased && product->bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (d->rows == 1 || preference->workspace < kWorkspaceBytes) return CUBLAS_STATUS_NOT_SUPPORTED;
  cublasLtMatmulAlgo_t algo{b->cols, d->rows, a->rows, kWorkspaceBytes, {a->stride, b->stride, d->stride}, {}, 0};
  std::memcpy(algo.alignment, preference->alignment, sizeof(algo.alignment));
  if (biased) algo.bias_alignment = BiasAlignment(product->bias);
  results[0] = {algo, kWorkspaceBytes, CUBLAS_STATUS_SUCCESS};
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

// Not served by a plan: what has other sizes, or addresses less aligned, than it was made for; more tokens; and an odd number of
// tokens, unless the plan was made for it.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product, const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspace_bytes, cudaStream_t stream) {
  const bool biased = product->epilogue == CUBLASLT_EPILOGUE_BIAS;
  const uint64_t tokens = b_layout->cols, rows = d_layout->rows, depth = a_layout->rows;
  const float factor = *static_cast<const float*>(alpha);
  if (factor != 1 || *static_cast<const float*>(beta) != 0 || c_layout->cols != tokens) return CUBLAS_STATUS_INVALID_VALUE;
  if (tokens > algo->tokens || (tokens % 2 != 0 && tokens != algo->tokens)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (rows != algo->rows || depth != algo->depth || a_layout->stride != algo->stride[0] || b_layout->stride != algo->stride[1] ||
      d_layout->stride != algo->stride[2] || d_layout->cols != tokens || biased != (algo->bias_alignment != 0))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes < algo->workspace || !IsAligned(workspace, 256) || !IsAligned(a, algo->alignment[0]) ||
      !IsAligned(b, algo->alignment[1]) || !IsAligned(c, algo->alignment[2]) || !IsAligned(d, algo->alignment[3]) ||
      (biased && !IsAligned(product->bias, algo->bias_alignment)))
    return CUBLAS_STATUS_INVALID_VALUE;
  const cublasLtMatrixLayoutOpaque_t a_like = *a_layout, b_like = *b_layout, d_like = *d_layout;
  const float* bias = biased ? product->bias : nullptr;
  cuda_on_host::Enqueue(stream, [=, room = algo->workspace] {
    std::memset(workspace, 0xff, room);
    for (uint64_t t = 0; t < tokens; ++t)
      for (uint64_t r = 0; r < rows; ++r) {
        float sum = 0;
        for (uint64_t k = 0; k < depth; ++k) sum += BFloat16At(a, a_like, k, r) * BFloat16At(b, b_like, k, t);
        static_cast<float*>(d)[r + t * static_cast<uint64_t>(d_like.stride)] = bias == nullptr ? sum : sum + bias[r];
      }
  });
  return CUBLAS_STATUS_SUCCESS;
}
