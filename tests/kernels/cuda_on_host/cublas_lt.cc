// The stand-in for cuBLASLt: the few calls that Linear makes, for bf16 products with f32 results, as plain loops behind the library's
// checks. It is stricter than the library: a plan serves only what it was made for, and some plans are not to be had, so that the ways
// around that are tested.
#include <cublasLt.h>

#include <algorithm>
#include <cstring>

#include "common/dtype.h"
#include "tests/kernels/cuda_on_host/runtime.h"

namespace {

// What is in the library's opaque types.
struct Product {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transposed[2];
  cublasLtEpilogue_t epilogue;
  const float* bias;
};
struct Layout {  // columns first
  cudaDataType_t type;
  uint64_t rows, cols;
  int64_t stride;
};
struct Preference {
  uint64_t workspace;
  uint32_t alignment[4];  // of A, B, C, D
};
struct Plan {
  int64_t stride[3];
  uint32_t tokens, rows, depth;
  uint16_t alignment[4];
  uint16_t bias_alignment;  // 0: none
};

template <class T, class Opaque>
cublasStatus_t Put(const T& value, Opaque* to) {
  static_assert(sizeof(T) <= sizeof(Opaque));
  std::memcpy(to, &value, sizeof(value));
  return CUBLAS_STATUS_SUCCESS;
}
template <class T, class Opaque>
T Get(const Opaque* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

constexpr uint64_t kWorkspaceBytes = 1 << 20;  // that every plan wants

bool Set(void* to, const void* value, size_t size, size_t expected) {
  if (value == nullptr || size != expected) return false;
  std::memcpy(to, value, size);
  return true;
}
cublasStatus_t ValidIf(bool good) { return good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE; }

bool IsAligned(const void* p, uint32_t alignment) { return reinterpret_cast<uintptr_t>(p) % alignment == 0; }
uint16_t BiasAlignment(const float* bias) {
  for (uint16_t alignment = 256;; alignment /= 2)
    if (IsAligned(bias, alignment)) return alignment;
}

float BFloat16At(const void* matrix, const Layout& layout, uint64_t row, uint64_t col) {
  return drover::BFloat16ToFloat(static_cast<const uint16_t*>(matrix)[row + col * static_cast<uint64_t>(layout.stride)]);
}

bool SetOf(Product& product, cublasLtMatmulDescAttributes_t name, const void* value, size_t size) {
  switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return Set(&product.transposed[0], value, size, 4);
    case CUBLASLT_MATMUL_DESC_TRANSB: return Set(&product.transposed[1], value, size, 4);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return Set(&product.epilogue, value, size, 4);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return Set(&product.bias, value, size, 8);
    default: return false;
  }
}

bool SetOf(Preference& preference, cublasLtMatmulPreferenceAttributes_t name, const void* value, size_t size) {
  if (name == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return Set(&preference.workspace, value, size, 8);
  if (name < CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES || name > CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES) return false;
  return Set(&preference.alignment[name - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, size, 4);
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) { return *handle = nullptr, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
const char* cublasLtGetStatusString(cublasStatus_t) { return "stand-in"; }

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t product, size_t, cublasComputeType_t compute, cudaDataType_t scale) {
  return Put(Product{compute, scale, {CUBLAS_OP_N, CUBLAS_OP_N}, CUBLASLT_EPILOGUE_DEFAULT, nullptr}, product);
}
cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t, cudaDataType_t type, uint64_t rows, uint64_t cols,
                                                 int64_t stride) {
  return Put(Layout{type, rows, cols, stride}, layout);
}
cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t) {
  return Put(Preference{0, {256, 256, 256, 256}}, preference);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque, cublasLtMatmulDescAttributes_t name, const void* value,
                                              size_t size) {
  auto product = Get<Product>(opaque);
  return SetOf(product, name, value, size) ? Put(product, opaque) : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque, cublasLtMatmulPreferenceAttributes_t name,
                                                    const void* value, size_t size) {
  auto preference = Get<Preference>(opaque);
  return SetOf(preference, name, value, size) ? Put(preference, opaque) : CUBLAS_STATUS_INVALID_VALUE;
}

// Refused: other types; sizes that do not agree; rows of A or B that are not multiples of 16 bytes. Not served: one row.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t product_at, cublasLtMatrixLayout_t a_at,
                                              cublasLtMatrixLayout_t b_at, cublasLtMatrixLayout_t c_at, cublasLtMatrixLayout_t d_at,
                                              cublasLtMatmulPreference_t preference_at, int asked,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  const auto product = Get<Product>(product_at);
  const auto preference = Get<Preference>(preference_at);
  const auto a = Get<Layout>(a_at), b = Get<Layout>(b_at), c = Get<Layout>(c_at), d = Get<Layout>(d_at);
  *found = 0;
  if (asked < 1 || a.type != CUDA_R_16BF || b.type != CUDA_R_16BF || c.type != CUDA_R_32F || d.type != CUDA_R_32F ||
      product.compute != CUBLAS_COMPUTE_32F || product.scale != CUDA_R_32F)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (product.transposed[0] != CUBLAS_OP_T || product.transposed[1] != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool agree = a.rows == b.rows && a.cols == d.rows && b.cols == d.cols && c.rows == d.rows && c.cols == d.cols;
  const auto at_least = [](const Layout& layout) { return layout.stride >= static_cast<int64_t>(layout.rows); };
  if (!agree || !at_least(a) || !at_least(b) || !at_least(c) || !at_least(d)) return CUBLAS_STATUS_INVALID_VALUE;
  if (a.stride % 8 != 0 || b.stride % 8 != 0 || c.stride != d.stride) return CUBLAS_STATUS_INVALID_VALUE;
  const bool biased = product.epilogue == CUBLASLT_EPILOGUE_BIAS;
  if (biased && product.bias == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (d.rows == 1 || preference.workspace < kWorkspaceBytes) return CUBLAS_STATUS_NOT_SUPPORTED;
  Plan plan{{a.stride, b.stride, d.stride}, static_cast<uint32_t>(b.cols), static_cast<uint32_t>(d.rows), static_cast<uint32_t>(a.rows), {}, 0};
  std::copy_n(preference.alignment, 4, plan.alignment);
  if (biased) plan.bias_alignment = BiasAlignment(product.bias);
  Put(plan, &results[0].algo);
  results[0].workspaceSize = kWorkspaceBytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

// Not served by a plan: what has other sizes, or addresses less aligned, than it was made for; more tokens; and an odd number of
// tokens, unless the plan was made for it.
cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product_at, const void* alpha, const void* a, cublasLtMatrixLayout_t a_at,
                              const void* b, cublasLtMatrixLayout_t b_at, const void* beta, const void* c, cublasLtMatrixLayout_t c_at,
                              void* d, cublasLtMatrixLayout_t d_at, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  const auto product = Get<Product>(product_at);
  const auto plan = Get<Plan>(algo);
  const auto a_like = Get<Layout>(a_at), b_like = Get<Layout>(b_at), c_like = Get<Layout>(c_at), d_like = Get<Layout>(d_at);
  const bool biased = product.epilogue == CUBLASLT_EPILOGUE_BIAS;
  const uint64_t tokens = b_like.cols, rows = d_like.rows, depth = a_like.rows;
  const float factor = *static_cast<const float*>(alpha);
  if (factor != 1 || *static_cast<const float*>(beta) != 0 || c_like.cols != tokens) return CUBLAS_STATUS_INVALID_VALUE;
  if (tokens > plan.tokens || (tokens % 2 != 0 && tokens != plan.tokens)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (rows != plan.rows || depth != plan.depth || a_like.stride != plan.stride[0] || b_like.stride != plan.stride[1] ||
      d_like.stride != plan.stride[2] || d_like.cols != tokens || biased != (plan.bias_alignment != 0))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace_bytes < kWorkspaceBytes || !IsAligned(workspace, 256) || !IsAligned(a, plan.alignment[0]) ||
      !IsAligned(b, plan.alignment[1]) || !IsAligned(c, plan.alignment[2]) || !IsAligned(d, plan.alignment[3]) ||
      (biased && !IsAligned(product.bias, plan.bias_alignment)))
    return CUBLAS_STATUS_INVALID_VALUE;
  const float* bias = biased ? product.bias : nullptr;
  cuda_on_host::Enqueue(stream, [=] {
    std::memset(workspace, 0xff, kWorkspaceBytes);
    for (uint64_t t = 0; t < tokens; ++t)
      for (uint64_t r = 0; r < rows; ++r) {
        float sum = 0;
        for (uint64_t k = 0; k < depth; ++k) sum += BFloat16At(a, a_like, k, r) * BFloat16At(b, b_like, k, t);
        static_cast<float*>(d)[r + t * static_cast<uint64_t>(d_like.stride)] = bias == nullptr ? sum : sum + bias[r];
      }
  });
  return CUBLAS_STATUS_SUCCESS;
}
