// What the lanes of a warp do together: shuffles, barriers, fragments of tensor cores.
#include <map>

#include "tests/kernels/ptx/forms.h"
#include "tests/kernels/ptx/map.h"

namespace ptx {
namespace {

enum class Way { kXor, kIndex, kDown, kUp };

// Section "shfl.sync" of the ISA: whom a lane takes from; its own value where that is beyond its segment.
template <Way way>
unsigned SourceOf(unsigned lane, uint32_t b, uint32_t c) {
  const unsigned by = b & 31, clamp = c & 31, segment = c >> 8 & 31;
  const unsigned last = (lane & segment) | (clamp & ~segment), first = lane & segment;
  const unsigned from = way == Way::kXor ? lane ^ by : way == Way::kIndex ? first | (by & ~segment) : way == Way::kDown ? lane + by : lane - by;
  const bool inside = way == Way::kUp ? static_cast<int>(lane) - static_cast<int>(by) >= static_cast<int>(last) : from <= last;
  return inside ? from : lane;
}

template <Way way, unsigned first>
void Shuffle(Warp& warp, const Instruction& instruction) {
  const auto& o = instruction.operands;
  std::array<uint32_t, kLanes> given;
  std::memcpy(given.data(), At<uint32_t>(warp, o[first]), sizeof(given));
  const uint32_t* b = At<const uint32_t>(warp, o[first + 1]);
  const uint32_t* c = At<const uint32_t>(warp, o[first + 2]);
  uint32_t inside = 0;
  ForLanes(warp.mask, [&](unsigned lane) {
    const unsigned from = SourceOf<way>(lane, b[lane], c[lane]);
    if ((warp.mask >> from & 1) == 0) Fault(warp, instruction, lane, "a shuffle from a lane that takes no part");
    inside |= uint32_t{from != lane || b[lane] == 0} << lane;
    At<uint32_t>(warp, o[0])[lane] = given[from];
  });
  if (first == 2) Predicate(warp, o[1]) = (Predicate(warp, o[1]) & ~warp.mask) | inside;
}

void Nothing(Warp&, const Instruction&) {}

float FromBFloat16(uint32_t bits) { return __builtin_bit_cast(float, bits << 16); }

// D[16, 8] = A[16, 16] B[16, 8] + C. Section "Matrix Fragments for mma.m16n8k16": of a fragment register r, lane l has of A the row
// l / 4 (+ 8 if r is odd) and the two columns from 2 (l % 4) (+ 8 if r > 1) on, of B the column l / 4 and two rows likewise, of C
// and D the row l / 4 (+ 8 if r > 1) and the column 2 (l % 4) (+ 1 if r is odd).
void MultiplyFragments(Warp& warp, const Instruction& instruction) {
  const auto& o = instruction.operands;
  std::array<std::array<float, 16>, 16> a;
  std::array<std::array<float, 16>, 8> b;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    for (unsigned half = 0; half < 2; ++half) {
      for (unsigned r = 0; r < 4; ++r)
        a[group + r % 2 * 8][pair + r / 2 * 8 + half] = FromBFloat16(At<uint32_t>(warp, o[4 + r])[lane] >> (16 * half) & 0xffff);
      for (unsigned r = 0; r < 2; ++r) b[group][pair + r * 8 + half] = FromBFloat16(At<uint32_t>(warp, o[8 + r])[lane] >> (16 * half) & 0xffff);
    }
  }
  std::array<std::array<float, kLanes>, 4> sums;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (unsigned r = 0; r < 4; ++r) {
      const auto& row = a[lane / 4 + r / 2 * 8];
      const auto& column = b[lane % 4 * 2 + r % 2];
      float sum = At<float>(warp, o[10 + r])[lane];
      for (unsigned k = 0; k < 16; ++k) sum += row[k] * column[k];
      sums[r][lane] = sum;
    }
  for (unsigned r = 0; r < 4; ++r) std::memcpy(At<float>(warp, o[r]), sums[r].data(), sizeof(sums[r]));
}

// Four matrices of 8 rows of 8: lane 8m + i has the address of row i of matrix m.
using Rows = std::array<std::byte*, kLanes>;
Rows RowsOf(Warp& warp, const Instruction& instruction, unsigned operand, Use use) {
  Rows rows;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    rows[lane] = Reach(warp, instruction, {Space::kShared, use}, AddressOf(warp, instruction, operand, lane), lane, 16);
  return rows;
}
// Where lane l's values of matrix m are: of the row l / 4 two from 2 (l % 4) on; of the transposed matrix the same.
template <bool transposed>
std::byte* ValueAt(const Rows& rows, unsigned matrix, unsigned lane, unsigned half) {
  const unsigned row = transposed ? lane % 4 * 2 + half : lane / 4, column = transposed ? lane / 4 : lane % 4 * 2 + half;
  return rows[matrix * 8 + row] + column * 2;
}
// f(matrix, the value's place in a register, where it lies in memory) for every value.
template <bool transposed, class F>
void ForValues(const Rows& rows, F f) {
  for (unsigned matrix = 0; matrix < 4; ++matrix)
    for (unsigned lane = 0; lane < kLanes; ++lane)
      for (unsigned half = 0; half < 2; ++half) f(matrix, 2 * lane + half, ValueAt<transposed>(rows, matrix, lane, half));
}
template <bool transposed>
void LoadMatrices(Warp& warp, const Instruction& instruction) {
  ForValues<transposed>(RowsOf(warp, instruction, 4, Use::kRead), [&](unsigned matrix, unsigned at, const std::byte* value) {
    std::memcpy(At<uint16_t>(warp, instruction.operands[matrix]) + at, value, 2);
  });
}
template <bool transposed>
void StoreMatrices(Warp& warp, const Instruction& instruction) {
  ForValues<transposed>(RowsOf(warp, instruction, 0, Use::kWrite), [&](unsigned matrix, unsigned at, std::byte* value) {
    std::memcpy(value, At<uint16_t>(warp, instruction.operands[matrix + 1]) + at, 2);
  });
}

using Table = std::map<std::string, Form, std::less<>>;

template <Way way>
void AddShuffle(Table& table, const std::string& name) {
  table["shfl.sync." + name + ".b32/5"] = {Shuffle<way, 1>, "44444", Flow::kMeet, Space::kGeneric, 4};
  table["shfl.sync." + name + ".b32/6"] = {Shuffle<way, 2>, "4p4444", Flow::kMeet, Space::kGeneric, 5};
}

Table MakeTable() {
  Table table;
  AddShuffle<Way::kXor>(table, "bfly");
  AddShuffle<Way::kIndex>(table, "idx");
  AddShuffle<Way::kDown>(table, "down");
  AddShuffle<Way::kUp>(table, "up");
  table["bar.warp.sync/1"] = {Nothing, "4", Flow::kMeet, Space::kGeneric, 0};
  for (const char* name : {"bar.sync/1", "barrier.sync/1"}) table[name] = {Nothing, "4", Flow::kBarrier};
  table["mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32/14"] = {MultiplyFragments, std::string(14, '4'), Flow::kMeet};
  for (const char* trans : {".m8n8.x4.trans", ".trans.m8n8.x4"}) {
    table["ldmatrix.sync.aligned" + std::string(trans) + ".shared.b16/5"] = {LoadMatrices<true>, "4444a", Flow::kMeet, Space::kShared};
    table["stmatrix.sync.aligned" + std::string(trans) + ".shared.b16/5"] = {StoreMatrices<true>, "a4444", Flow::kMeet, Space::kShared};
  }
  table["ldmatrix.sync.aligned.m8n8.x4.shared.b16/5"] = {LoadMatrices<false>, "4444a", Flow::kMeet, Space::kShared};
  table["stmatrix.sync.aligned.m8n8.x4.shared.b16/5"] = {StoreMatrices<false>, "a4444", Flow::kMeet, Space::kShared};
  return table;
}

}  // namespace

std::optional<Form> MeetingForm(std::string_view name, size_t operands) {
  static const Table table = MakeTable();
  const auto at = table.find(std::string(name) + '/' + std::to_string(operands));
  return at == table.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace ptx
