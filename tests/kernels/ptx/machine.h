// A GPU that is a program: it runs kernels as nvcc left them, in PTX (the "Parallel Thread Execution ISA" of NVIDIA's documentation),
// so that what is compiled for the device is run where there is none. Equations and addresses are the device's, and so are the order
// in which lanes meet, fragments of tensor cores, asynchronous copies and the rounding that the compiler chose; speed is not.
//
// What a GPU forbids ends the process with a message that names kernel, line of PTX, block and thread: bytes outside of any allocation,
// addresses that are not aligned, barriers that some threads do not reach, shared memory that two warps use without a barrier between
// them. Shared memory begins as NaN in every block; registers that nobody wrote are not told.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ptx {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// The piece of device memory that holds an address: [begin, end); empty where there is none.
struct Piece {
  uintptr_t begin = 0, end = 0;
};
// Of the process: which memory there is for kernels. Called by any thread. Until it is set kernels may touch all of the host's memory.
using FindPiece = Piece (*)(uintptr_t address);
// `changes` goes up whenever a piece is freed, so that what was found may be kept till then.
void SetMemory(FindPiece find, const std::atomic<uint64_t>* changes);

class Program;  // a kernel, ready to run

struct Kernel {
  std::string name;                         // mangled
  std::vector<size_t> parameter_bytes;      // of each parameter
  size_t static_shared_bytes = 0;           // beside what a launch asks for
  size_t local_bytes = 0;                   // of a thread
  unsigned threads_max = 1024;              // of a block, by __launch_bounds__
  std::shared_ptr<const Program> program;
};

// Kernels and variables of one PTX text; variables live as long as the module does.
class Module {
 public:
  // Ends the process where the text is none that nvcc makes. An instruction that is not known is told when it is run.
  static std::unique_ptr<Module> Load(std::string_view text);
  virtual ~Module() = default;
  virtual const Kernel* Find(std::string_view name) const = 0;  // nullptr: there is none
};

// Runs all blocks of the grid, one after the other, in this thread. parameters[i]: the bytes of parameter i, read before it returns.
// Safe to call from several threads at once.
void Run(const Kernel& kernel, Extent grid, Extent block, size_t dynamic_shared_bytes, void* const* parameters);

}  // namespace ptx
