// See kernels.h. What begins with two underscores is what nvcc's host code calls (crt/host_runtime.h of the toolkit).
#include "tests/kernels/cuda_on_ptx/kernels.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/runtime.h"
#include "tests/kernels/cuda_on_ptx/fat_binary.h"

namespace cuda_on_ptx {

// Of one source of CUDA.
struct Binary {
  const void* registered = nullptr;
  std::once_flag loading;
  std::unique_ptr<ptx::Module> module;
};

namespace {

ptx::Piece PieceAt(uintptr_t address) {
  const cuda_on_host::Range range = cuda_on_host::RangeAt(address);
  return {range.begin, range.end};
}

// As long as the process, and there before its other statics: who registers is one of them.
struct Registry {
  std::vector<std::unique_ptr<Binary>> binaries;
  std::map<const void*, CUkern_st> kernels;
};
Registry& Registered() {
  static Registry& registry = *new Registry;
  return registry;
}

}  // namespace

const CUkern_st* Find(const void* function) {
  const auto& kernels = Registered().kernels;
  const auto at = kernels.find(function);
  return at == kernels.end() ? nullptr : &at->second;
}

}  // namespace cuda_on_ptx

using namespace cuda_on_ptx;  // NOLINT: what follows has the runtime's names

const ptx::Kernel& CUkern_st::Code() const {
  std::call_once(binary->loading, [this] {
    ptx::SetMemory(PieceAt, &cuda_on_host::Frees());
    binary->module = ptx::Module::Load(PtxOf(binary->registered));
  });
  const ptx::Kernel* code = binary->module->Find(name);
  DROVER_CHECK(code != nullptr);
  return *code;
}

size_t cuda_on_host::OwnShared(const void* function) {
  const CUkern_st* kernel = Find(function);
  DROVER_CHECK(kernel != nullptr);
  return kernel->Code().static_shared_bytes;
}

// What threads and shared memory allow; what registers do is known to who compiles PTX.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads, size_t dynamic_bytes,
                                                                   unsigned) {
  constexpr size_t kBlocksMost = 32, kThreadsMost = 2048, kWarp = 32, kSharedOfSystem = 1 << 10;  // of sm_90
  const CUkern_st* kernel = Find(function);
  if (kernel == nullptr) return cuda_on_host::Told(cudaErrorInvalidDeviceFunction);
  if (threads <= 0 || static_cast<unsigned>(threads) > kernel->Code().threads_max) return *blocks = 0, cudaSuccess;
  int shared = 0;
  cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerMultiprocessor, cuda_on_host::CurrentDevice());
  const size_t rounded = (static_cast<size_t>(threads) + kWarp - 1) / kWarp * kWarp;
  const size_t of_block = kernel->Code().static_shared_bytes + dynamic_bytes + kSharedOfSystem;
  *blocks = static_cast<int>(std::min({kBlocksMost, kThreadsMost / rounded, static_cast<size_t>(shared) / of_block}));
  return cudaSuccess;
}

extern "C" {

void** __cudaRegisterFatBinary(void* registered) {
  auto binary = std::make_unique<Binary>();
  binary->registered = registered;
  return reinterpret_cast<void**>(Registered().binaries.emplace_back(std::move(binary)).get());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}  // at the process's end

// A template's kernel is registered by each source that has it; one is as good as the other.
void __cudaRegisterFunction(void** binary, const char* function, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  Registered().kernels.try_emplace(function, CUkern_st{reinterpret_cast<Binary*>(binary), function, name});
}
// The host asks for no variable by its address.
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = const_cast<CUkern_st*>(Find(function));
  return *kernel != nullptr ? cudaSuccess : cuda_on_host::Told(cudaErrorInvalidDeviceFunction);
}

}  // extern "C"
