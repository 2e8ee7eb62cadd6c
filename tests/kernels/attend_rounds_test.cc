// Attention of CUDA when the results of parts of keys have little room, so that sequences go in rounds: the same bits as with enough.
#include <set>

#include "kernels/cuda/cuda_ops.h"
#include "tests/kernels/near_ops.h"
#include "tests/kernels/paged_cases.h"

namespace drover {
namespace {

const AttendCase kCases[] = {
    {"plain", 64, 8, 0, 2, 0, 4, 0, 0, 16},
    {"of odd size", 20, 3, 0, 1, 0, 3, 0, 0, 16},
    {"window", 16, 2, 0, 1, 0, 2, 300, 0, 16},
    {"latent", 48, 12, 0, 1, 0, 12, 0, 0, 16, 32},
};
const Lengths kLengths = {{600, 1}, {20, 1}, {530, 3}, {900, 1}, {300, 9}, {256, 8}, {1, 1}, {700, 1}};
constexpr int64_t kRooms[] = {1, 200 << 10};  // one sequence at once, a few

// Named by a back end as the parity tests are.
class AttendRounds : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (OpsWith({}) == nullptr) GTEST_SKIP() << "this machine has no " << GetParam();
  }
  std::unique_ptr<Ops> OpsWith(CudaOptions options) const {
    options.tokens = options.cols = 64;
    options.attend_blocks = 6;  // so that a row meets both sizes of blocks, alone and beside others
    if (GetParam() == "cuda_bf16") options.compute = CudaCompute::kBF16;
    auto ops = CudaOps::Create(options);
    return ops.ok() ? std::make_unique<NearOps>(*std::move(ops)) : nullptr;
  }
  double tolerance() const { return GetParam() == "cuda_bf16" ? 1e-2 : 2e-5; }
};

struct Question {
  Question(const AttendCase& c, DType type) : paged(MakePaged(c, type, kLengths)), shape(ShapeOf(c)), q(Random(RowsOf(kLengths), c.heads * c.head_dim, 7)) {}

  Owned Ask(Ops& ops) const {
    Owned y = Poisoned(q.tensor.rows, shape.heads * shape.ValueDim());
    ops.Attend(q.tensor, paged.sequences, paged.kv, shape, y.tensor);
    return y;
  }
  // Of one row, without the others.
  Owned AskAlone(Ops& ops, const SequenceRows& rows, int64_t row) const {
    const SequenceRows one{0, 1, rows.position + row, rows.blocks};
    Owned y = Poisoned(1, shape.heads * shape.ValueDim());
    ops.Attend({q.tensor.data + (rows.first_row + row) * q.tensor.cols, 1, q.tensor.cols}, {&one, 1}, paged.kv, shape, y.tensor);
    return y;
  }

  const Paged paged;
  const AttentionShape shape;
  const Owned q;
};

TEST_P(AttendRounds, GiveTheBitsOfOneRound) {
  const auto enough = OpsWith({});
  Ops reference;
  for (const AttendCase& c : kCases) {
    for (const DType type : {DType::kF32, DType::kBF16}) {
      if (type == DType::kF32 && GetParam() == "cuda_bf16") continue;  // as "cuda" does it
      const std::string name = Cat(c.name, ", ", Name(type));
      const Question question(c, type);
      const Owned expected = question.Ask(*enough);
      ExpectClose(expected, question.Ask(reference), tolerance(), name);
      for (const int64_t room : kRooms)
        ExpectSameBits(question.Ask(*OpsWith({.attend_bytes = room})).values, expected.values, Cat(name, ", room of ", room));
    }
  }
}

TEST_P(AttendRounds, GiveARowTheBitsThatItHasAlone) {
  const auto enough = OpsWith({});
  for (const AttendCase& c : kCases) {
    const Question question(c, DType::kBF16);
    const auto little = OpsWith({.attend_bytes = kRooms[1]});
    const Owned together = question.Ask(*little);
    for (const SequenceRows& rows : question.paged.sequences) {
      if (rows.rows > 8 && GetParam() == "cuda_bf16") continue;  // the promise is of those with few rows
      for (const int64_t row : std::set<int64_t>{0, rows.rows - 1}) {
        const std::string name = Cat(c.name, ", row ", rows.first_row + row);
        ExpectSameBits(question.AskAlone(*enough, rows, row).values, together.tensor.row(rows.first_row + row), name);
        ExpectSameBits(question.AskAlone(*little, rows, row).values, together.tensor.row(rows.first_row + row), name);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, AttendRounds, testing::Values("cuda", "cuda_bf16"), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
