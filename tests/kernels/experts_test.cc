// Experts as one operation: every back end against each token's experts computed one by one.
#include "tests/kernels/random_groups.h"

namespace drover {
namespace {

class ExpertsParity : public LinearOpsParity {};

struct ExpertsCase {
  const char* name;
  int64_t tokens = 5, active = 2, count = 6, hidden = 64, columns = 96;
  int64_t first = 0, own = 6;
  bool gated = true, pairs = false, biases = false, scale_input = false;
  GateKind kind = GateKind::kSilu;
  std::vector<DType> dtypes = {DType::kF32};  // of the experts in turn
};

const std::vector<ExpertsCase>& Cases() {
  static const std::vector<ExpertsCase> cases = {
      {.name = "one token", .tokens = 1},
      {.name = "all of six", .tokens = 17},
      {.name = "a part of the experts", .tokens = 40, .first = 2, .own = 3},
      {.name = "none chosen here", .tokens = 3, .count = 4, .first = 4, .own = 2},
      {.name = "no gate", .tokens = 9, .gated = false, .kind = GateKind::kRelu},
      {.name = "clamped pairs with biases", .tokens = 9, .pairs = true, .biases = true},
      {.name = "biases", .tokens = 9, .biases = true, .kind = GateKind::kGeluTanh},
      {.name = "scaled inputs", .tokens = 12, .active = 1, .scale_input = true},
      {.name = "no columns here", .tokens = 4, .columns = 0, .biases = true},
      {.name = "uneven widths", .tokens = 11, .hidden = 37, .columns = 29},
      {.name = "stored forms that differ", .tokens = 21, .dtypes = {DType::kBF16, DType::kQ4_0, DType::kQ8_0}},
      {.name = "many tokens of few experts", .tokens = 150, .active = 1, .count = 2, .hidden = 160, .columns = 136, .own = 2, .dtypes = {DType::kBF16, DType::kF32}},
      {.name = "many tokens with biases and clamped pairs", .tokens = 70, .count = 3, .columns = 70, .own = 3, .pairs = true, .biases = true, .dtypes = {DType::kQ4_0, DType::kBF16}},
      {.name = "many tokens with biases", .tokens = 70, .count = 3, .own = 2, .biases = true, .dtypes = {DType::kQ8_0, DType::kMxfp4}},
      {.name = "many scaled inputs", .tokens = 90, .active = 1, .count = 2, .hidden = 37, .own = 2, .scale_input = true, .dtypes = {DType::kQ8_0}},
      {.name = "few tokens of many experts", .tokens = 70, .active = 3, .count = 64, .columns = 40, .own = 64, .dtypes = {DType::kBF16}},
      {.name = "most experts without tokens", .tokens = 2, .active = 1, .count = 300, .columns = 16, .first = 7, .own = 290, .dtypes = {DType::kF16}},
      {.name = "more pairs than are sorted at a time", .tokens = 2100, .active = 4, .hidden = 8, .columns = 8, .first = 2, .own = 1},
  };
  return cases;
}

FloatVector RandomVector(int64_t size, uint32_t seed) {
  HostMemory memory;
  return *FloatVector::Make(Random(1, size, seed).values, memory);
}

std::vector<FfnWeights> RandomExperts(const ExpertsCase& c) {
  std::vector<FfnWeights> experts(static_cast<size_t>(c.own));
  for (uint32_t e = 0; e < experts.size(); ++e) {
    const DType dtype = c.dtypes[e % c.dtypes.size()];
    FfnWeights& w = experts[e];
    const uint32_t seed = 100 * e;
    if (c.pairs) w.pairs = RandomWeight(dtype, 2 * c.columns, c.hidden, 0, seed + 1);
    if (!c.pairs) w.up = RandomWeight(dtype, c.columns, c.hidden, 0, seed + 2);
    if (!c.pairs && c.gated) w.gate = RandomWeight(dtype, c.columns, c.hidden, 0, seed + 3);
    w.down = RandomWeight(dtype, c.hidden, c.columns, 0, seed + 4);
    if (!c.biases) continue;
    if (c.pairs) w.pairs_bias = RandomVector(2 * c.columns, seed + 5);
    if (!c.pairs) w.up_bias = RandomVector(c.columns, seed + 6);
    if (!c.pairs && c.gated) w.gate_bias = RandomVector(c.columns, seed + 7);
    w.down_bias = RandomVector(c.hidden, seed + 8);
  }
  return experts;
}

// FFN(x) of one expert for one row, by the plain equations.
Owned Through(Ops& ops, const ExpertSet& set, const FfnWeights& w, Tensor x) {
  Owned inner = Poisoned(1, set.columns), y = Poisoned(1, x.cols);
  if (set.pairs) {
    Owned both = Poisoned(1, 2 * set.columns);
    ops.Linear(w.pairs, w.pairs_bias, x, both.tensor);
    ops.ClampedPairs(set.pairs->alpha, set.pairs->limit, both.tensor, inner.tensor);
  } else {
    Owned gate = Poisoned(1, set.columns);
    ops.Linear(w.up, w.up_bias, x, inner.tensor);
    if (set.gated) ops.Linear(w.gate, w.gate_bias, x, gate.tensor);
    if (set.gated) ops.GatedProduct(set.kind, gate.tensor, inner.tensor, inner.tensor);
    if (!set.gated) ops.Activate(set.kind, inner.tensor);
  }
  ops.Linear(w.down, w.down_bias, inner.tensor, y.tensor);
  return y;
}

struct Choice {
  std::vector<int32_t> experts;
  Owned weights;
};

// Distinct experts for each token, in any order.
Choice RandomChoice(const ExpertsCase& c) {
  Choice choice{{}, Random(c.tokens, c.active, 31)};
  std::mt19937 engine(RunSeed() + 5);
  for (int64_t t = 0; t < c.tokens; ++t) {
    std::vector<int32_t> all(static_cast<size_t>(c.count));
    for (size_t e = 0; e < all.size(); ++e) all[e] = static_cast<int32_t>(e);
    std::ranges::shuffle(all, engine);
    choice.experts.insert(choice.experts.end(), all.begin(), all.begin() + c.active);
  }
  return choice;
}

void AddOneByOne(Ops& ops, const ExpertSet& set, const ExpertsCase& c, const Choice& choice, Owned& x, Owned& out) {
  for (int64_t t = 0; t < c.tokens; ++t) {
    for (int64_t j = 0; j < c.active; ++j) {
      const auto pair = static_cast<size_t>(t * c.active + j);
      const int64_t own = choice.experts[pair] - set.first;
      if (own < 0 || own >= c.own) continue;
      const float weight = choice.weights.values[pair];
      Owned row(1, c.hidden, 0);
      for (int64_t i = 0; i < c.hidden; ++i) row.values[static_cast<size_t>(i)] = x.tensor.row(t)[static_cast<size_t>(i)] * (set.scale_input ? weight : 1);
      const Owned y = Through(ops, set, set.own[static_cast<size_t>(own)], row.tensor);
      for (size_t i = 0; i < y.values.size(); ++i) out.tensor.row(t)[i] += (set.scale_input ? 1 : weight) * y.values[i];
    }
  }
}

ExpertSet SetOf(const ExpertsCase& c, const std::vector<FfnWeights>& experts) {
  ExpertSet set{.own = experts, .first = c.first, .columns = c.columns, .kind = c.kind, .gated = c.gated, .scale_input = c.scale_input};
  if (c.pairs) set.pairs = {1.7f, 2};
  return set;
}

TEST_P(ExpertsParity, EqualEachTokensExpertsOneByOne) {
  for (const ExpertsCase& c : Cases()) {
    const std::vector<FfnWeights> experts = RandomExperts(c);
    const ExpertSet set = SetOf(c, experts);
    const Choice choice = RandomChoice(c);
    Owned x = Random(c.tokens, c.hidden, 41), expected = Random(c.tokens, c.hidden, 42), found = expected;
    AddOneByOne(reference_, set, c, choice, x, expected);
    Owned room = Poisoned(1, ops_->ExpertRoom(c.tokens, c.active, c.hidden, c.columns));
    ops_->Experts(set, choice.experts, choice.weights.values, x.tensor, room.values, found.tensor);
    ExpectClose(found, expected, std::max(2e-5, promise_.tolerance), c.name);
  }
}

// A storage form. Of two experts in it, the second has the columns of a grouped down matrix in any order.
struct FormCase {
  DType dtype;
  int64_t group_cols = 0;  // 0: no groups
  DType scales = DType::kF32;
};
const FormCase kForms[] = {
    {DType::kF32},  {DType::kF16},  {DType::kBF16}, {DType::kQ8_0}, {DType::kQ8_1}, {DType::kQ4_0}, {DType::kQ4_1},
    {DType::kQ5_0}, {DType::kQ5_1}, {DType::kMxfp4}, {DType::kQ2_K}, {DType::kQ3_K}, {DType::kQ4_K}, {DType::kQ5_K},
    {DType::kQ6_K}, {DType::kQ8_K}, {DType::kU4, 32, DType::kF16}, {DType::kU8, 64}, {DType::kF8E4M3, 128, DType::kBF16},
    {DType::kE2M1, 32, DType::kE8M0}, {DType::kNF4, 64},
};
constexpr int64_t kHidden = 304, kColumns = 70;  // of several parts, of which the last is not whole

PackedWeight InForm(const FormCase& form, int64_t rows, int64_t cols, uint32_t seed) {
  if (form.group_cols == 0) return RandomWeight(form.dtype, rows, cols, Info(form.dtype).values == 1 ? 0 : seed % 3 * 8, seed);
  const bool ordered = seed % 2 == 1;
  return RandomGroups({.name = "", .codes = form.dtype, .rows = rows, .cols = cols, .group_rows = 1, .group_cols = form.group_cols,
                       .col_offset = ordered ? 0 : 32, .scales = form.scales, .zeros = form.dtype == DType::kU4, .ordered = ordered}, seed);
}

std::vector<FfnWeights> ExpertsInForm(const FormCase& form) {
  std::vector<FfnWeights> experts(2);
  for (uint32_t e = 0; e < experts.size(); ++e) {
    experts[e].up = InForm(form, kColumns, kHidden, 4 * e);
    experts[e].gate = InForm(form, kColumns, kHidden, 4 * e + 2);
    experts[e].down = InForm(form, kHidden, kColumns, 5 * e + 4);
  }
  return experts;
}

// All tokens choose the first expert, as many as that is given to at once; some choose the second as well.
TEST_P(ExpertsParity, ATokensResultDependsOnNeitherBatchNorThreads) {
  const int64_t many = promise_.tolerance == 0 ? 21 : 67;  // tensor cores have a way of their own for many
  for (const FormCase& form : kForms) {
    const std::vector<FfnWeights> experts = ExpertsInForm(form);
    const ExpertSet set{.own = experts, .columns = kColumns};
    std::vector<int32_t> chosen;
    for (int64_t t = 0; t < many; ++t) chosen.insert(chosen.end(), {0, t % 5 == 1 ? 1 : 2});
    const Owned weights = Random(many, 2, 51), x = Random(many, kHidden, 52), before = Random(many, kHidden, 53);
    const auto run = [&](Ops& ops, int64_t first, int64_t count) {
      Owned out(count, kHidden, 0), room = Poisoned(1, ops.ExpertRoom(count, 2, kHidden, kColumns));
      const auto at = [&](int64_t width) { return static_cast<size_t>(first * width); };
      std::copy_n(before.values.begin() + static_cast<ptrdiff_t>(at(kHidden)), out.values.size(), out.values.begin());
      ops.Experts(set, std::span(chosen).subspan(at(2), static_cast<size_t>(2 * count)), std::span(weights.values).subspan(at(2), static_cast<size_t>(2 * count)),
                  {x.tensor.data + at(kHidden), count, kHidden}, room.values, out.tensor);
      return out;
    };
    const Owned together = run(*ops_, 0, many);
    Owned expected = run(reference_, 0, many);
    ExpectClose(together, expected, std::max(2e-5, promise_.tolerance), Cat(Name(form.dtype), " together"));
    for (const int64_t count : {1, 2, 7, 20, 33}) {
      if (11 + count > many) continue;
      const Owned part = run(*alone_, 11, count);
      ExpectSameBits(part.values, std::span(together.values).subspan(11 * kHidden, part.values.size()), Cat(Name(form.dtype), " ", count, " tokens"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds, ExpertsParity, testing::ValuesIn(LinearBackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
