// Operations that stand for several: every back end against the reference, with uneven shapes and poisoned outputs.
#include <numeric>

#include "tests/kernels/random_tensors.h"

namespace drover {
namespace {

class FusedParity : public OpsParity {};
class FusedLinearParity : public LinearOpsParity {};

TEST_P(FusedParity, AddNormAddsAndThenNorms) {
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 33}, {5, 576}, {2, 2500}, {0, 8}}) {
    const Owned a = Random(rows, cols, 1), gain = Random(1, cols, 2), bias = Random(1, cols, 3);
    const RowNorm norms[] = {{false, 1e-5f, gain.values}, {true, 1e-5f, gain.values, bias.values}, {true, 1e-5f, gain.values}, {true, 1e-5f}};
    for (const RowNorm& norm : norms) {
      Owned expected_x = Random(rows, cols, 4), found_x = expected_x, in_place_x = expected_x, in_place = a;
      Owned expected = Poisoned(rows, cols), found = expected;
      reference_.AddNorm(a.tensor, norm, expected_x.tensor, expected.tensor);
      ops_->AddNorm(a.tensor, norm, found_x.tensor, found.tensor);
      ops_->AddNorm(in_place.tensor, norm, in_place_x.tensor, in_place.tensor);
      const std::string what = Cat(norm.layer_norm ? "layer norm of " : "rms norm of ", rows, "x", cols);
      ExpectSameBits(found_x.values, expected_x.values, what);
      ExpectClose(found, expected, 3e-6, what);
      ExpectSameBits(in_place_x.values, found_x.values, what);
      ExpectSameBits(in_place.values, found.values, what);
    }
  }
}

struct PlaceCase {
  int64_t heads, kv_heads, dim, pairs;
  bool interleaved;
  int64_t q_normed, k_normed;  // values of a head; 0: none
  bool values;
  DType type;
};

const PlaceCase kPlaces[] = {
    {1, 1, 2, 1, false, 0, 0, true, DType::kF32},    {6, 2, 16, 8, false, 0, 0, true, DType::kF32},
    {3, 1, 24, 7, true, 24, 24, true, DType::kBF16}, {4, 4, 130, 64, false, 130, 130, true, DType::kF32},
    {5, 1, 36, 2, true, 0, 32, false, DType::kF32},  {2, 1, 576, 32, true, 0, 512, false, DType::kBF16},
    {3, 3, 20, 0, false, 20, 20, true, DType::kF32}, {2, 2, 8, 0, false, 0, 0, true, DType::kBF16},
    {3, 0, 12, 6, false, 12, 0, true, DType::kF32},  {0, 2, 12, 6, false, 0, 12, true, DType::kF32},
};

// A cache of so many values, each one that no key is; and what it holds.
std::vector<std::byte> EmptyCache(int64_t values, DType type) {
  std::vector<std::byte> bytes(static_cast<size_t>(values * (type == DType::kBF16 ? 2 : 4)));
  const float fill = 1e6f;
  const uint16_t brain = FloatToBFloat16(fill);
  for (size_t i = 0; i < static_cast<size_t>(values); ++i) {
    if (type == DType::kBF16)
      std::memcpy(bytes.data() + 2 * i, &brain, 2);
    else
      std::memcpy(bytes.data() + 4 * i, &fill, 4);
  }
  return bytes;
}
Owned Held(const std::vector<std::byte>& cache, DType type) {
  Owned held(1, static_cast<int64_t>(cache.size()) / (type == DType::kBF16 ? 2 : 4), 0);
  for (size_t i = 0; i < held.values.size(); ++i) {
    uint16_t brain = 0;
    if (type == DType::kBF16) {
      std::memcpy(&brain, cache.data() + 2 * i, 2);
      held.values[i] = BFloat16ToFloat(brain);
    } else {
      std::memcpy(&held.values[i], cache.data() + 4 * i, 4);
    }
    if (held.values[i] > 9e5f) held.values[i] = 0;  // untouched, as everything else is far below
  }
  return held;
}

TEST_P(FusedParity, PlaceHeadsNormsRotatesAndAppends) {
  constexpr int64_t kRows = 7, kBlocks = 8, kBlockTokens = 3;
  const std::vector<int32_t> first = {6, 1, 4}, second = {0, 7, 2};
  const std::vector<SequenceRows> sequences = {{0, 1, 7, first}, {2, 4, 1, second}};  // rows 1 and 6 are no sequence's
  for (const PlaceCase& c : kPlaces) {
    const Owned cos = Random(kRows, c.pairs, 1), sin = Random(kRows, c.pairs, 2), k = Random(kRows, c.kv_heads * c.dim, 3);
    const Owned v = Random(kRows, c.values ? c.kv_heads * c.dim : 0, 4), q_gain = Random(1, c.q_normed, 5), k_gain = Random(1, c.k_normed, 6);
    const HeadPlacing how{q_gain.values, k_gain.values, 1e-5f, {cos.tensor, sin.tensor, c.interleaved}};
    const auto run = [&](Ops& ops, Owned& q, std::vector<std::byte>& keys, std::vector<std::byte>& values) {
      Owned own = k;
      ops.PlaceHeads(how, q.tensor, own.tensor, v.tensor, sequences, {keys.data(), values.data(), kBlockTokens, c.kv_heads, c.dim, c.type});
    };
    const std::vector<std::byte> empty = EmptyCache(kBlocks * kBlockTokens * c.kv_heads * c.dim, c.type);
    std::vector<std::byte> expected_keys = empty, expected_values = empty, keys = empty, values = empty;
    Owned expected = Random(kRows, c.heads * c.dim, 7), found = expected;
    run(reference_, expected, expected_keys, expected_values);
    run(*ops_, found, keys, values);
    const std::string what = Cat(c.heads, " and ", c.kv_heads, " heads of ", c.dim, ", pairs ", c.pairs);
    ExpectClose(found, expected, 3e-6, what);
    ExpectClose(Held(keys, c.type), Held(expected_keys, c.type), c.type == DType::kBF16 ? 5e-3 : 3e-6, Cat(what, ", keys"));
    EXPECT_EQ(values, expected_values) << what;
    EXPECT_TRUE(c.kv_heads == 0 || keys != empty) << what;
  }
}

// Matrices over one input: of one form or of several, some empty, more than one launch may take.
struct Several {
  const char* name;
  int64_t cols, lead;
  std::vector<std::pair<DType, int64_t>> parts;  // form and rows; no form's rows without a weight: kQ8_1
};

const Several kSeverals[] = {
    {"q, k and v", 160, 0, {{DType::kBF16, 96}, {DType::kBF16, 32}, {DType::kBF16, 32}}},
    {"long rows", 1096, 0, {{DType::kBF16, 50}, {DType::kBF16, 3}, {DType::kBF16, 17}}},
    {"f32", 1156, 0, {{DType::kF32, 33}, {DType::kF32, 7}}},
    {"several forms", 512, 0, {{DType::kQ4_K, 19}, {DType::kQ4_K, 5}, {DType::kQ6_K, 5}, {DType::kF16, 30}}},
    {"cut blocks", 40, 8, {{DType::kQ8_0, 66}, {DType::kQ8_0, 9}, {DType::kQ4_0, 9}}},
    {"empty ones", 64, 0, {{DType::kQ8_1, 12}, {DType::kBF16, 9}, {DType::kQ8_1, 4}, {DType::kBF16, 0}, {DType::kBF16, 21}}},
    {"many", 96, 0, {{DType::kBF16, 9}, {DType::kBF16, 1}, {DType::kBF16, 18}, {DType::kBF16, 33}, {DType::kBF16, 16}, {DType::kBF16, 2}}},
    {"one", 31, 0, {{DType::kF16, 5}}},
    {"none", 31, 0, {}},
};

PackedWeight WeightOf(const Several& all, size_t i) {
  const auto& [dtype, rows] = all.parts[i];
  if (dtype == DType::kQ8_1 || rows == 0) return {};
  return RandomWeight(dtype, rows, all.cols, all.lead, static_cast<uint32_t>(i));
}

TEST_P(FusedLinearParity, LinearsAreEachALinear) {
  for (const Several& all : kSeverals) {
    std::vector<PackedWeight> weights;
    std::vector<Owned> biases;
    for (size_t i = 0; i < all.parts.size(); ++i) {
      weights.push_back(WeightOf(all, i));
      biases.push_back(Random(1, i % 2 == 0 ? all.parts[i].second : 0, 30 + static_cast<uint32_t>(i)));
    }
    for (const int64_t tokens : {1, 2, 7, 8, 9, 20, 33, 65}) {
      const Owned x = Random(tokens, all.cols, 50);
      std::vector<Owned> expected, single, found;
      std::vector<LinearPart> parts;
      found.reserve(weights.size());
      for (size_t i = 0; i < weights.size(); ++i) {
        expected.push_back(Poisoned(tokens, all.parts[i].second));
        single.push_back(expected[i]);
        reference_.Linear(weights[i], biases[i].values, x.tensor, expected[i].tensor);
        ops_->Linear(weights[i], biases[i].values, x.tensor, single[i].tensor);
        parts.push_back({weights[i], biases[i].values, found.emplace_back(Poisoned(tokens, all.parts[i].second)).tensor});
      }
      ops_->Linears(parts, x.tensor);
      for (size_t i = 0; i < weights.size(); ++i) {
        const std::string what = Cat(all.name, ", part ", i, ", tokens ", tokens);
        ExpectSameBits(found[i].values, single[i].values, what);
        if (weights[i].empty()) ExpectSameBits(found[i].values, expected[i].values, what);
        if (weights[i].empty()) continue;
        const double f32 = 2e-6 * std::sqrt(static_cast<double>(all.cols));
        ExpectClose(found[i], expected[i], std::max(f32, promise_.tolerance), what, ScaleOf(weights[i]));
      }
    }
  }
}

struct GatedCase {
  DType gate, up;
  int64_t rows, cols, lead;
  bool biases = false;
};

const GatedCase kGated[] = {
    {DType::kBF16, DType::kBF16, 96, 64, 0},     {DType::kBF16, DType::kBF16, 21, 1096, 0, true}, {DType::kF32, DType::kF32, 13, 1156, 0},
    {DType::kQ8_0, DType::kQ8_0, 9, 40, 8, true}, {DType::kQ4_K, DType::kQ4_K, 35, 512, 0},        {DType::kQ4_0, DType::kQ4_0, 18, 1088, 0},
    {DType::kQ4_K, DType::kQ6_K, 7, 256, 0},     {DType::kF16, DType::kF16, 1, 31, 0, true},       {DType::kBF16, DType::kBF16, 0, 64, 0},
};

TEST_P(FusedLinearParity, GatedLinearIsTheProductOfBoth) {
  for (const GatedCase& c : kGated) {
    const PackedWeight gate = c.rows == 0 ? PackedWeight() : RandomWeight(c.gate, c.rows, c.cols, c.lead, 1);
    const PackedWeight up = c.rows == 0 ? PackedWeight() : RandomWeight(c.up, c.rows, c.cols, c.lead, 2);
    const Owned gate_bias = Random(1, c.biases ? c.rows : 0, 3), up_bias = Random(1, c.biases ? c.rows : 0, 4);
    const double scale = c.rows == 0 ? 1 : std::max(1.0, ScaleOf(gate) * ScaleOf(up));  // far below 0, activations are tiny
    for (const int64_t tokens : {1, 3, 8, 9, 32, 40}) {
      const auto run = [&](Ops& ops, GateKind kind, Tensor x) {
        Owned y = Poisoned(x.rows, c.rows), room = y;
        ops.GatedLinear(kind, {gate, gate_bias.values, y.tensor}, {up, up_bias.values, room.tensor}, x);
        return y;
      };
      const Owned x = Random(tokens, c.cols, 5);
      for (const GateKind kind : {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGelu, GateKind::kRelu}) {
        const Owned expected = run(reference_, kind, x.tensor), found = run(*ops_, kind, x.tensor);
        const std::string what = Cat(Name(c.gate), " and ", Name(c.up), " ", c.rows, "x", c.cols, ", tokens ", tokens);
        ExpectClose(found, expected, std::max(8e-6 * std::sqrt(static_cast<double>(c.cols)), 2 * promise_.tolerance), what, scale);
        if (tokens > promise_.same_bits) continue;
        const Owned last = run(*alone_, kind, {x.tensor.row(tokens - 1).data(), 1, c.cols});
        ExpectSameBits(last.values, std::span(found.values).last(last.values.size()), what);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BackEnds, FusedParity, testing::ValuesIn(BackEndsHere()), [](const auto& test) { return test.param; });
INSTANTIATE_TEST_SUITE_P(BackEnds, FusedLinearParity, testing::ValuesIn(LinearBackEndsHere()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace drover
