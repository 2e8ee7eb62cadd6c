// The machine by itself: small kernels, and what it refuses.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <string>
#include <vector>

#include "tests/kernels/ptx/machine.h"

namespace ptx {
namespace {

// The only memory that kernels may reach while a test runs.
Piece there;
std::atomic<uint64_t> changes = 0;

class PtxMachine : public testing::Test {
 protected:
  PtxMachine() {
    SetMemory([](uintptr_t at) { return at >= there.begin && at < there.end ? there : Piece{}; }, &changes);
  }

  // A kernel `k` of one parameter, `out`: its address lies in %out, the thread's number in %t.
  static void RunBody(const std::string& body, std::vector<uint32_t>& out, Extent block = {32}, Extent grid = {1}, size_t shared = 0) {
    const std::string text = R"(
.version 9.0
.target sm_90a
.address_size 64
.extern .shared .align 16 .b8 room[];
.global .align 4 .b8 table[8] = {1, 0, 0, 0, 44, 1};
.visible .entry k(
	.param .u64 k_param_0
)
{
	.reg .pred %p<9>;
	.reg .b16 %h<9>;
	.reg .f32 %f<20>;
	.reg .b32 %r<30>, %t;
	.reg .b64 %d<20>, %out;
	ld.param.u64 %out, [k_param_0];
	cvta.to.global.u64 %out, %out;
	mov.u32 %t, %tid.x;
	mul.wide.u32 %d0, %t, 4;
	add.s64 %d0, %out, %d0;
)" + body + "\n\tret;\n}\n";
    const std::unique_ptr<Module> module = Module::Load(text);
    there = {reinterpret_cast<uintptr_t>(out.data()), reinterpret_cast<uintptr_t>(out.data() + out.size())};
    ++changes;
    const uint32_t* pointer = out.data();
    void* parameters[] = {&pointer};
    ptx::Run(*module->Find("k"), grid, block, shared, parameters);
  }
  // A word of each of `threads`.
  static std::vector<uint32_t> WordsOf(const std::string& body, unsigned threads = 32, size_t shared = 0) {
    std::vector<uint32_t> out(threads, 77);
    RunBody(body, out, {threads}, {1}, shared);
    return out;
  }
};
using PtxMachineDeathTest = PtxMachine;

TEST_F(PtxMachine, KnowsTheKernelsOfAModule) {
  const auto module = Module::Load(
      ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry a(.param .u64 a_0, .param .align 8 .b8 a_1[40])\n.maxntid 128, 2, 1\n{ .local .align 8 .b8 depot[24]; ret; }\n");
  const Kernel* a = module->Find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->parameter_bytes, (std::vector<size_t>{8, 40}));
  EXPECT_EQ(a->threads_max, 256u);
  EXPECT_EQ(a->local_bytes, 32u);
  EXPECT_EQ(module->Find("b"), nullptr);
}

TEST_F(PtxMachine, LanesPartAndMeetAgain) {
  const std::string body = R"(
	mov.u32 %r1, 0;
	setp.lt.u32 %p1, %t, 10;
	@%p1 bra $few;
	mov.u32 %r1, 5;
	bra.uni $join;
$few:
	add.s32 %r1, %r1, 1;
	setp.lt.u32 %p2, %r1, %t;
	@%p2 bra $few;
$join:
	shfl.sync.bfly.b32 %r2|%p3, %r1, 1, 31, -1;
	mad.lo.s32 %r3, %r2, 100, %r1;
	st.global.u32 [%d0], %r3;)";
  std::vector<uint32_t> expected;
  const auto turns = [](unsigned t) { return t >= 10 ? 5 : std::max(1u, t); };
  for (unsigned t = 0; t < 32; ++t) expected.push_back(turns(t ^ 1) * 100 + turns(t));
  EXPECT_EQ(WordsOf(body), expected);
}

TEST_F(PtxMachine, EndsBlocksThatAreNotWholeWarps) {
  std::vector<uint32_t> out(41, 0);
  RunBody("\tmov.u32 %r1, %ntid.x;\n\tst.global.u32 [%d0], %r1;", out, {40});
  EXPECT_EQ(out[39], 40u);
  EXPECT_EQ(out[40], 0u);
}

TEST_F(PtxMachine, ReadsVariablesOfTheModule) {
  EXPECT_EQ(WordsOf("\tmov.u64 %d1, table;\n\tld.global.u32 %r1, [%d1+4];\n\tld.global.u32 %r2, [table];\n\tadd.s32 %r1, %r1, %r2;\n\tst.global.u32 [%d0], %r1;")[3], 301u);
}

constexpr const char* kExchange = R"(
	shl.b32 %r1, %t, 2;
	mov.u32 %r2, room;
	add.s32 %r3, %r2, %r1;
	st.shared.u32 [%r3], %t;
	BARRIER
	xor.b32 %r4, %r1, 128;
	add.s32 %r4, %r4, %r2;
	ld.shared.u32 %r5, [%r4];
	st.global.u32 [%d0], %r5;)";
std::string Exchange(const std::string& barrier) {
  std::string text = kExchange;
  return text.replace(text.find("BARRIER"), 7, barrier);
}

TEST_F(PtxMachine, WarpsMeetAtBarriers) {
  const std::vector<uint32_t> out = WordsOf(Exchange("bar.sync 0;"), 64, 256);
  for (unsigned t = 0; t < 64; ++t) EXPECT_EQ(out[t], t ^ 32) << t;
}

TEST_F(PtxMachineDeathTest, TellsOfBarriersThatAreMissing) {
  EXPECT_DEATH(WordsOf(Exchange(""), 64, 256), "another warp.*without a barrier");
  EXPECT_DEATH(WordsOf(Exchange("setp.lt.u32 %p1, %t, 32;\n@%p1 bra $on;\nbar.sync 0;\n$on:"), 64, 256), "another warp|do not come");
  EXPECT_DEATH(WordsOf(Exchange("bar.sync 0;\nsetp.lt.u32 %p1, %t, 7;\n@%p1 bra $on;\nbar.sync 0;\nbar.sync 0;\n$on:"), 64, 256), "do not come|wait for");
}

TEST_F(PtxMachineDeathTest, TellsOfMemoryThatIsNoKernels) {
  EXPECT_DEATH(WordsOf("\tld.global.u32 %r1, [%d0+4];\n\tst.global.u32 [%d0], %r1;"), "no kernel's, or beyond its end.*\n.*\n.*ld.global.u32.*\n.*thread 31");
  EXPECT_DEATH(WordsOf("\tld.global.u64 %d2, [%out+4];\n\tst.global.u32 [%d0], %t;"), "no multiple of 8");
  EXPECT_DEATH(WordsOf(Exchange("bar.sync 0;"), 64, 252), "beyond the block's shared memory");
}

TEST_F(PtxMachineDeathTest, TellsOfLanesThatDoNotMeet) {
  EXPECT_DEATH(WordsOf("\tsetp.lt.u32 %p1, %t, 8;\n\t@%p1 bra $end;\n\tshfl.sync.bfly.b32 %r1|%p2, %t, 1, 31, -1;\n$end:"), "do not come|have returned");
  EXPECT_DEATH(WordsOf("\tshfl.sync.bfly.b32 %r1|%p2, %t, 8, 31, -1;", 40), "takes no part");
}

TEST_F(PtxMachineDeathTest, TellsOfInstructionsThatItDoesNotKnow) { EXPECT_DEATH(WordsOf("\tadd.sat.s32 %r1, %t, 1;"), "line 21: an instruction that is not known: k: add.sat.s32"); }

// What is copied is there for the lane that waits, and not before.
constexpr const char* kCopies = R"(
	mov.u32 %r2, room;
	shl.b32 %r1, %t, 4;
	add.s32 %r3, %r2, %r1;
	cvt.u64.u32 %d1, %r1;
	add.s64 %d2, %out, %d1;
	cp.async.cg.shared.global [%r3], [%d2], 16;
	cp.async.commit_group;
	cp.async.commit_group;
	cp.async.wait_group WAIT;
	ld.shared.u32 %r4, [%r3+8];
	st.global.u32 [%d2], %r4;)";
TEST_F(PtxMachine, CopiesWhenTheyAreWaitedFor) {
  for (const auto& [groups, expected] : {std::pair<const char*, uint32_t>{"0", 10}, {"1", 10}, {"2", 0xffffffff}}) {
    std::string body = kCopies;
    body.replace(body.find("WAIT"), 4, groups);
    std::vector<uint32_t> out(32 * 4);
    std::iota(out.begin(), out.end(), 0);
    RunBody(body, out, {32}, {1}, 512);
    EXPECT_EQ(out[8], expected);
  }
}

// Fragments as the ISA's figures have them, written down apart from the machine: element (row, column) of a lane's i-th value.
struct Place {
  unsigned row, column;
};
Place PlaceInA(unsigned lane, unsigned i) { return {lane / 4 + (i / 2 % 2 != 0 ? 8 : 0), lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)}; }
Place PlaceInB(unsigned lane, unsigned i) { return {lane % 4 * 2 + i % 2 + (i >= 2 ? 8 : 0), lane / 4}; }
Place PlaceInC(unsigned lane, unsigned i) { return {lane / 4 + (i >= 2 ? 8 : 0), lane % 4 * 2 + i % 2}; }
uint32_t BFloat16(unsigned small) { return __builtin_bit_cast(uint32_t, static_cast<float>(small)) >> 16; }

TEST_F(PtxMachine, MultipliesFragments) {
  const auto a = [](unsigned row, unsigned k) { return (row * 3 + k * 5) % 7; };
  const auto b = [](unsigned k, unsigned column) { return (k * 2 + column * 3) % 5; };
  std::vector<uint32_t> memory(32 * 12);
  for (unsigned lane = 0; lane < 32; ++lane) {
    for (unsigned i = 0; i < 8; ++i) memory[lane * 12 + i / 2] |= BFloat16(a(PlaceInA(lane, i).row, PlaceInA(lane, i).column)) << (i % 2 * 16);
    for (unsigned i = 0; i < 4; ++i) memory[lane * 12 + 4 + i / 2] |= BFloat16(b(PlaceInB(lane, i).row, PlaceInB(lane, i).column)) << (i % 2 * 16);
  }
  RunBody(R"(
	mul.wide.u32 %d1, %t, 48;
	add.s64 %d1, %out, %d1;
	ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1];
	ld.global.v2.u32 {%r5, %r6}, [%d1+16];
	mov.f32 %f1, 0f3F800000;
	mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f2, %f3, %f4, %f5}, {%r1, %r2, %r3, %r4}, {%r5, %r6}, {%f1, 0f00000000, %f1, 0.};
	st.global.v4.f32 [%d1+32], {%f2, %f3, %f4, %f5};)",
          memory);
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned i = 0; i < 4; ++i) {
      const auto [row, column] = PlaceInC(lane, i);
      float expected = i % 2 == 0 ? 1 : 0;
      for (unsigned k = 0; k < 16; ++k) expected += static_cast<float>(a(row, k) * b(k, column));
      EXPECT_EQ(__builtin_bit_cast(float, memory[lane * 12 + 8 + i]), expected) << lane << ' ' << i;
    }
}

// Matrix m has 1000 m + 10 row + column at its place; lane 8 m + row has that row's address.
TEST_F(PtxMachine, LoadsAndStoresMatrices) {
  for (const bool transposed : {false, true}) {
    std::vector<uint32_t> memory(32 * 4);
    const std::string trans = transposed ? ".trans" : "";
    RunBody(R"(
	shl.b32 %r1, %t, 4;
	mov.u32 %r2, room;
	add.s32 %r3, %r2, %r1;
	and.b32 %r4, %t, 7;
	shr.u32 %r5, %t, 3;
	mul.lo.s32 %r4, %r4, 10;
	mad.lo.s32 %r4, %r5, 1000, %r4;
	mov.u32 %r6, 0;
$fill:
	add.s32 %r7, %r4, %r6;
	shl.b32 %r8, %r6, 1;
	add.s32 %r8, %r8, %r3;
	cvt.u16.u32 %h1, %r7;
	st.shared.u16 [%r8], %h1;
	add.s32 %r6, %r6, 1;
	setp.lt.u32 %p1, %r6, 8;
	@%p1 bra $fill;
	bar.warp.sync -1;
	ldmatrix.sync.aligned.m8n8.x4)" + trans + R"(.shared.b16 {%r11, %r12, %r13, %r14}, [%r3];
	shl.b32 %r1, %t, 4;
	cvt.u64.u32 %d1, %r1;
	add.s64 %d1, %out, %d1;
	st.global.v4.u32 [%d1], {%r11, %r12, %r13, %r14};)",
            memory, {32}, {1}, 512);
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned m = 0; m < 4; ++m)
        for (unsigned half = 0; half < 2; ++half) {
          const unsigned across = lane % 4 * 2 + half, along = lane / 4;
          const unsigned expected = m * 1000 + (transposed ? across * 10 + along : along * 10 + across);
          EXPECT_EQ(memory[lane * 4 + m] >> (16 * half) & 0xffff, expected) << lane << ' ' << m << ' ' << half;
        }
  }
}

TEST_F(PtxMachine, ConvertsAsTheDeviceDoes) {
  const auto bits = [](float value) { return __builtin_bit_cast(uint32_t, value); };
  const auto word = [&](const std::string& body) { return WordsOf(body + "\n\tst.global.u32 [%d0], %r9;")[0]; };
  EXPECT_EQ(word("\tcvt.rn.bf16x2.f32 %r9, 0f3F808000, 0f3F818000;"), 0x3f803f82u);  // ties to even; the first is the upper half
  EXPECT_EQ(word("\tcvt.rzi.u64.f32 %d5, 0fBF800000;\n\tcvt.u32.u64 %r9, %d5;"), 0u);
  EXPECT_EQ(word("\tmov.u32 %r1, -3;\n\tdiv.s32 %r9, %r1, 0;"), 0xffffffffu);
  EXPECT_EQ(word("\tmov.u32 %r1, 1;\n\tshl.b32 %r9, %r1, 32;"), 0u);
  EXPECT_EQ(word("\tcopysign.f32 %f1, 0f80000000, 0f40000000;\n\tmov.b32 %r9, %f1;"), bits(-2.0f));
  EXPECT_EQ(word("\tmov.b32 %r9, 0f7FC00000;\n\tmov.b32 %f1, %r9;\n\tmax.f32 %f2, %f1, 0f3F800000;\n\tmov.b32 %r9, %f2;"), bits(1.0f));
  EXPECT_EQ(word("\tmov.u32 %r1, 0x83020100;\n\tprmt.b32 %r9, %r1, 0x07060504, 0xb370;"), 0xff830700u);
  EXPECT_EQ(word("\tmov.u32 %r1, 21;\n\tbfi.b32 %r9, %r1, 0, 4, 3;"), 0x50u);
  EXPECT_EQ(word("\tmov.u32 %r1, -2;\n\tcvt.u16.u32 %h1, %r1;\n\tcvt.s16.s8 %h2, %h1;\n\tcvt.s32.s16 %r9, %h2;"), 0xfffffffeu);
}

}  // namespace
}  // namespace ptx
