// Threads of a block as fibers of one thread of the host. A warp runs as far ahead of the others as it can, warps and lanes take their
// turns in changing orders: a barrier that is missing then shows as a wrong result of some run, whichever thread it was to hold back.
#include <algorithm>
#include <limits>
#include <vector>

#include "common/check.h"
#include "tests/kernels/cuda_on_host/kernel_language.h"

constinit thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

// Saves what a call must preserve and the stack pointer in *save; goes on where `to` was saved.
extern "C" void DroverSwitchStack(void** save, void* to);
asm(R"(
.text
.globl DroverSwitchStack
DroverSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace cuda_on_host {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = 64 << 10;

// Threads that wait for each other; those that have returned are not waited for.
struct Meeting {
  unsigned present = 0, arrived = 0, round = 0;
  void Open() {
    if (arrived < present || present == 0) return;
    arrived = 0;
    ++round;
  }
};

struct Fiber {
  std::vector<std::byte> stack = std::vector<std::byte>(kStackBytes);
  void* at = nullptr;
  bool done = false;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Meeting> warps;
  std::vector<uint32_t> given;  // to the warp, by thread
  std::vector<const void*> shown;
  Meeting all;
  void* scheduler = nullptr;
  unsigned running = 0, pass = 0;
  uint64_t progress = 0;  // waits that ended and threads that returned
  const std::function<void()>* kernel = nullptr;
};
thread_local Block block;
thread_local std::vector<float> shared_floats;

void Yield() { DroverSwitchStack(&block.fibers[block.running].at, block.scheduler); }

void Meet(Meeting& meeting) {
  const unsigned round = meeting.round;
  ++meeting.arrived;
  meeting.Open();
  while (meeting.round == round) Yield();
  ++block.progress;
}

void RunFiber() {
  (*block.kernel)();
  block.fibers[block.running].done = true;
  ++block.progress;
  for (Meeting* meeting : {&block.all, &block.warps[block.running / kWarp]}) {
    --meeting->present;
    meeting->Open();
  }
  Yield();
}

// The first switch to a fiber takes six registers from its stack and returns into RunFiber.
void Prepare(Fiber& fiber) {
  const auto top = reinterpret_cast<uintptr_t>(fiber.stack.data() + fiber.stack.size()) / 16 * 16;
  void** at = reinterpret_cast<void**>(top) - 2;
  *at = reinterpret_cast<void*>(RunFiber);
  for (int i = 0; i < 6; ++i) *--at = nullptr;
  fiber.at = at;
  fiber.done = false;
}

// Which of `count` is i-th in a pass: upwards, downwards, or the even ones first.
unsigned Turn(unsigned i, unsigned count, unsigned pass) {
  const unsigned even = (count + 1) / 2;
  if (pass % 3 == 0) return i;
  if (pass % 3 == 1) return count - 1 - i;
  return i < even ? 2 * i : 2 * (i - even) + 1;
}

// Runs a warp's threads until each waits for other warps or has returned; true: some have not returned.
bool RunWarp(unsigned warp, unsigned threads) {
  const unsigned first = warp * kWarp, lanes = std::min(kWarp, threads - first);
  bool left = true;
  for (uint64_t before = block.progress - 1; left && before != block.progress;) {
    before = block.progress;
    left = false;
    for (unsigned i = 0; i < lanes; ++i) {
      const unsigned t = first + Turn(i, lanes, block.pass);
      if (block.fibers[t].done) continue;
      left = true;
      block.running = t;
      threadIdx = {t, 0, 0};
      DroverSwitchStack(&block.scheduler, block.fibers[t].at);
    }
  }
  return left;
}

void RunBlock(unsigned threads) {
  block.fibers.resize(threads);
  block.given.resize(threads);
  block.shown.resize(threads);
  block.warps.assign((threads + kWarp - 1) / kWarp, {});
  block.all = {threads, 0, 0};
  for (unsigned t = 0; t < threads; ++t) {
    Prepare(block.fibers[t]);
    ++block.warps[t / kWarp].present;
  }
  const auto warps = static_cast<unsigned>(block.warps.size());
  for (bool left = true; left;) {
    left = false;
    ++block.pass;
    const uint64_t before = block.progress;
    for (unsigned i = 0; i < warps; ++i) left |= RunWarp(Turn(i, warps, block.pass), threads);
    DROVER_CHECK(!left || block.progress != before);  // else threads wait for a barrier that others do not reach
  }
}

}  // namespace

size_t OwnShared(const void*) { return 0; }  // it is the process's own, and not counted

float* DynamicShared() { return shared_floats.data(); }
unsigned Lane() { return block.running % kWarp; }

uint32_t Exchange(uint32_t value, unsigned from) {
  Meeting& warp = block.warps[block.running / kWarp];
  DROVER_CHECK_EQ(warp.present, kWarp);  // a shuffle that names lanes which have returned
  block.given[block.running] = value;
  Meet(warp);
  const uint32_t taken = block.given[block.running / kWarp * kWarp + from];
  Meet(warp);
  return taken;
}

void Gather(const void* own, size_t bytes, void* all) {
  Meeting& warp = block.warps[block.running / kWarp];
  DROVER_CHECK_EQ(warp.present, kWarp);
  block.shown[block.running] = own;
  Meet(warp);
  for (unsigned lane = 0; lane < kWarp; ++lane)
    std::memcpy(static_cast<std::byte*>(all) + lane * bytes, block.shown[block.running / kWarp * kWarp + lane], bytes);
  Meet(warp);
}

void Run(dim3 grid, dim3 threads, size_t shared_bytes, const std::function<void()>& kernel) {
  DROVER_CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.y < 65536 && grid.z < 65536 && threads.x > 0 && threads.x <= 1024);
  gridDim = grid;
  blockDim = threads;
  block.kernel = &kernel;
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        shared_floats.assign(shared_bytes / sizeof(float), std::numeric_limits<float>::quiet_NaN());
        RunBlock(threads.x);
      }
}

}  // namespace cuda_on_host

void __syncthreads() { cuda_on_host::Meet(cuda_on_host::block.all); }
void __syncwarp() { cuda_on_host::Meet(cuda_on_host::block.warps[cuda_on_host::block.running / cuda_on_host::kWarp]); }
