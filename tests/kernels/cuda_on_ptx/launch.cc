// Launches of kernels in PTX. What begins with two underscores is what nvcc makes of KERNEL<<<grid, block, shared, stream>>>(arguments).
#include <memory>
#include <vector>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/runtime.h"
#include "tests/kernels/cuda_on_ptx/kernels.h"

using namespace cuda_on_host;  // NOLINT: the runtime's names follow

namespace {

struct Shape {
  dim3 grid, block;
  size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};
thread_local std::vector<Shape> pushed;  // by this thread, on the way to the kernel's stub

using Arguments = std::vector<std::vector<std::byte>>;

// Copies them, as a GPU's driver does. Whether an address among them is the host's own is told when a kernel goes there.
Arguments Copied(const ptx::Kernel& code, void* const* from) {
  Arguments arguments;
  for (size_t i = 0; i < code.parameter_bytes.size(); ++i) {
    const auto* bytes = static_cast<const std::byte*>(from[i]);
    arguments.emplace_back(bytes, bytes + code.parameter_bytes[i]);
  }
  return arguments;
}

void CheckShape(const ptx::Kernel& code, const Shape& shape) {
  const auto& [grid, block, shared_bytes, stream] = shape;
  DROVER_CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x < 1u << 31 && grid.y < 65536 && grid.z < 65536);
  DROVER_CHECK(block.x > 0 && block.y > 0 && block.z > 0 && block.x <= 1024 && block.y <= 1024 && block.z <= 64);
  DROVER_CHECK_LE(block.x * block.y * block.z, code.threads_max);
}

cudaError_t Launch(const CUkern_st* kernel, const Shape& shape, void* const* from) {
  if (kernel == nullptr) return Told(cudaErrorInvalidDeviceFunction);
  DROVER_CHECK(shape.stream != nullptr);
  if (const cudaError_t error = MayLaunch(shape.stream); error != cudaSuccess) return error;
  const ptx::Kernel& code = kernel->Code();
  CheckShape(code, shape);
  CheckShared(kernel->function, shape.shared_bytes);
  Enqueue(shape.stream, [&code, shape, arguments = std::make_shared<Arguments>(Copied(code, from))] {
    CountLaunch();
    if (Broken() != cudaSuccess) return;
    std::vector<void*> at;
    for (std::vector<std::byte>& argument : *arguments) at.push_back(argument.data());
    const auto& [grid, block, shared_bytes, stream] = shape;
    ptx::Run(code, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, at.data());
  });
  return Broken();
}

}  // namespace

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream) {
  return Launch(cuda_on_ptx::Find(function), {grid, block, shared_bytes, stream}, arguments);
}

// Taken, of attributes: leave to begin before what came before ends, which a stream does not make use of.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id != cudaLaunchAttributeProgrammaticStreamSerialization) return Told(cudaErrorInvalidValue);
  return cudaLaunchKernel(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream);
}

extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, CUstream_st* stream) {
  pushed.push_back({grid, block, shared_bytes, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream) {
  DROVER_CHECK(!pushed.empty());
  *grid = pushed.back().grid;
  *block = pushed.back().block;
  *shared_bytes = pushed.back().shared_bytes;
  *static_cast<cudaStream_t*>(stream) = pushed.back().stream;
  pushed.pop_back();
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream) {
  return Launch(kernel, {grid, block, shared_bytes, stream}, arguments);
}

}  // extern "C"
