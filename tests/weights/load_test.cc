// Loading ranks: the parts of all ranks reassemble every matrix exactly, each byte is read once, errors name file and tensor.
#include "worker/weights/load.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>

#include "models/registry.h"
#include "models/weights.h"
#include "tests/models/model_files.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

using test::TempDir;
using test::TestTensor;

// What element (row, col) of a weight is: a small integer, exact in every stored type.
int Element(const std::string& name, int64_t row, int64_t col) {
  uint64_t hash = std::hash<std::string>{}(name) + static_cast<uint64_t>(row) * 1000003u + static_cast<uint64_t>(col) * 7919u;
  hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9u;
  return static_cast<int>(hash >> 40) % 100;
}

std::string Stored(DType dtype, int value) {
  if (dtype == DType::kF32) return test::Little(static_cast<float>(value));
  return test::Little(dtype == DType::kF16 ? FloatToHalf(static_cast<float>(value)) : FloatToBFloat16(static_cast<float>(value)));
}

// One block of a quantised row: bytes that tell it from every other block.
std::string Block(const std::string& name, int64_t row, int64_t block, DType dtype) {
  std::string bytes;
  for (int64_t i = 0; i < Info(dtype).bytes; ++i) bytes.push_back(static_cast<char>(Element(name, row, 1000 * block + i)));
  return bytes;
}

// A row's bytes from column `begin` to `end` (whole blocks).
std::string Row(const std::string& name, int64_t row, Range cols, DType dtype) {
  std::string bytes;
  const int64_t step = Info(dtype).values;
  for (int64_t c = cols.begin; c < cols.end; c += step)
    bytes += step == 1 ? Stored(dtype, Element(name, row, c)) : Block(name, row, c / step, dtype);
  return bytes;
}

struct Model {
  const char* name;
  std::string config;
  DType dtype;
  bool gguf = false;
  bool other_experts = false;  // fused in one tensor of a layer; in GGUF files one tensor an expert
  bool fused = false;          // q, k, v and gate, up
};

std::string Config(const std::string& architecture, const std::string& extra) {
  return R"({"architectures":[")" + architecture + R"("],)" + extra +
         R"("hidden_size":32,"max_position_embeddings":16,"num_hidden_layers":2,"vocab_size":37})";
}

std::vector<int64_t> ShapeOf(const Weight& weight) {
  return weight.vector() ? std::vector<int64_t>{weight.rows} : std::vector<int64_t>{weight.rows, weight.cols};
}

std::string Matrix(const Weight& weight, DType dtype) {
  std::string bytes;
  for (int64_t r = 0; r < weight.rows; ++r) bytes += Row(weight.name, r, {0, weight.cols}, dtype);
  return bytes;
}

// Experts of a layer as files store them: in [E, in, gate and up] and [E, in, out] (Llama 4), or not transposed.
std::string FusedBytes(const std::vector<Weight>& table, int32_t layer, bool down, bool transposed, DType dtype) {
  std::string bytes;
  for (size_t i = 0; i < table.size(); ++i) {
    const Weight& gate = table[i];
    if (gate.layer != layer || gate.role != (down ? Role::kExpertDown : Role::kExpertGate)) continue;
    if (!transposed) {
      bytes += Matrix(gate, dtype) + (down ? std::string() : Matrix(table[i + 1], dtype));
      continue;
    }
    for (int64_t c = 0; c < gate.cols; ++c) {
      for (int64_t r = 0; r < gate.rows; ++r) bytes += Stored(dtype, Element(gate.name, r, c));
      for (int64_t r = 0; !down && r < gate.rows; ++r) bytes += Stored(dtype, Element(table[i + 1].name, r, c));
    }
  }
  return bytes;
}

std::vector<TestTensor> HfTensors(const ModelSpec& spec, DType dtype, bool fused) {
  const bool transposed = spec.family == "llama4";
  const std::vector<Weight> table = WeightTable(spec);
  const std::string type(Info(dtype).safetensors);
  std::vector<TestTensor> tensors;
  for (const Weight& weight : table) {
    if (weight.expert < 0 || !fused) {
      tensors.push_back({weight.name, type, ShapeOf(weight), Matrix(weight, dtype)});
    } else if (weight.expert == 0 && weight.role != Role::kExpertUp) {
      const bool down = weight.role == Role::kExpertDown;
      const int64_t experts = spec.layer(weight.layer).ffn.experts->count;
      const int64_t outputs = down ? weight.rows : 2 * weight.rows;
      tensors.push_back({Cat("model.layers.", weight.layer, transposed ? ".feed_forward" : ".mlp", ".experts.", down ? "down_proj" : "gate_up_proj"),
                         type,
                         {experts, transposed ? weight.cols : outputs, transposed ? outputs : weight.cols},
                         FusedBytes(table, weight.layer, down, transposed, dtype)});
    }
  }
  return tensors;
}

// Bytes of `rows` rows from `first` on.
std::string Rows(const TestTensor& tensor, int64_t first, int64_t rows) {
  const size_t row = tensor.bytes.size() / static_cast<size_t>(tensor.shape[0]);
  return tensor.bytes.substr(static_cast<size_t>(first) * row, static_cast<size_t>(rows) * row);
}

// All of q, all of k, all of v; or for each KV head its query heads, its k, its v.
std::string FusedQkvBytes(const TestTensor& q, const TestTensor& k, const TestTensor& v, const Attention& a, bool grouped) {
  std::string bytes;
  const int64_t runs = grouped ? a.kv_heads : 1, queries = a.heads * a.head_dim / runs, keys = a.kv_heads * a.head_dim / runs;
  for (int64_t g = 0; g < runs; ++g) bytes += Rows(q, g * queries, queries) + Rows(k, g * keys, keys) + Rows(v, g * keys, keys);
  return bytes;
}

// [rows, cols] to [cols, rows].
TestTensor Transposed(const TestTensor& tensor) {
  TestTensor out{tensor.name, tensor.dtype, {tensor.shape[1], tensor.shape[0]}, {}};
  const int64_t rows = tensor.shape[0], cols = tensor.shape[1], size = static_cast<int64_t>(tensor.bytes.size()) / (rows * cols);
  for (int64_t c = 0; c < cols; ++c)
    for (int64_t r = 0; r < rows; ++r) out.bytes += tensor.bytes.substr(static_cast<size_t>((r * cols + c) * size), static_cast<size_t>(size));
  return out;
}

// What the family's files hold instead of q, k, v, gate and up.
std::vector<TestTensor> Fuse(std::vector<TestTensor> plain, const ModelSpec& spec) {
  const bool grouped = spec.family == "falcon" || spec.family == "gpt_neox", transposed = spec.family == "gpt2";
  const std::map<std::string, std::string> modules = {{"phi3", "self_attn.qkv_proj"}, {"falcon", "self_attention.query_key_value"},
                                                      {"gpt_neox", "attention.query_key_value"}, {"gpt2", "attn.c_attn"}};
  std::vector<TestTensor> tensors;
  for (size_t i = 0; i < plain.size(); ++i) {
    TestTensor tensor = plain[i];
    if (const size_t at = tensor.name.find("self_attn.q_proj."); at != std::string::npos) {
      tensor.bytes = FusedQkvBytes(plain[i], plain[i + 1], plain[i + 2], spec.kinds[0].attention, grouped);
      tensor.shape[0] += plain[i + 1].shape[0] + plain[i + 2].shape[0];
      tensor.name.replace(at, 16, modules.at(spec.family));
      i += 2;
    } else if (const size_t gate = tensor.name.find("gate_proj"); gate != std::string::npos) {
      tensor.bytes += plain[++i].bytes;
      tensor.shape[0] *= 2;
      tensor.name.replace(gate, 9, "gate_up_proj");
    }
    const bool in_layer = tensor.name.find(".h.") != std::string::npos;
    tensors.push_back(transposed && in_layer && tensor.shape.size() == 2 ? Transposed(tensor) : tensor);
  }
  return tensors;
}

// llama.cpp's row order of rotated heads, by its definition: view as [2, d/2], swap, so that stored row 2j + c is row c·d/2 + j.
int64_t LogicalRow(int64_t stored, int64_t head_dim) {
  const int64_t in_head = stored % head_dim;
  return stored - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

std::string GgufBytes(const ModelSpec& spec, DType dtype, bool one_an_expert) {
  constexpr std::pair<DType, uint32_t> kNumbers[] = {{DType::kQ4_0, 2}, {DType::kQ4_1, 3}, {DType::kQ8_0, 8}, {DType::kF16, 1}};
  uint32_t number = 0;
  for (const auto& [type, n] : kNumbers) number = type == dtype ? n : number;
  const bool routed = spec.has_experts();
  test::GgufWriter writer;
  writer.Text("general.architecture", "llama");
  const Attention& attention = spec.kinds[0].attention;
  const std::pair<const char*, int64_t> numbers[] = {
      {"block_count", spec.layers()}, {"context_length", 16}, {"embedding_length", spec.hidden}, {"attention.head_count", attention.heads},
      {"attention.head_count_kv", attention.kv_heads}, {"attention.key_length", attention.head_dim},
      {"feed_forward_length", routed ? spec.kinds[0].ffn.experts->hidden : spec.kinds[0].ffn.hidden}};
  for (const auto& [key, value] : numbers) writer.U32(Cat("llama.", key), static_cast<uint32_t>(value));
  if (routed) writer.U32("llama.expert_count", static_cast<uint32_t>(spec.kinds[0].ffn.experts->count));
  writer.F32("llama.attention.layer_norm_rms_epsilon", 1e-6f);
  const std::vector<Weight> table = WeightTable(spec);
  for (const Weight& weight : table) {
    const DType type = weight.vector() || weight.role == Role::kRouter ? DType::kF32 : dtype;
    const int64_t permuted = weight.role == Role::kQ || weight.role == Role::kK ? attention.head_dim : 1;
    std::string bytes;
    for (int64_t r = 0; r < weight.rows; ++r)
      bytes += Row(weight.name, permuted > 1 ? LogicalRow(r, permuted) : r, {0, weight.cols}, type);
    std::vector<int64_t> shape = ShapeOf(weight);
    if (weight.expert > 0 && !one_an_expert) continue;
    for (int32_t e = 1; !one_an_expert && weight.expert == 0 && e < spec.kinds[0].ffn.experts->count; ++e)
      for (const Weight& other : table)
        if (other.layer == weight.layer && other.role == weight.role && other.expert == e) bytes += Matrix(other, type);
    if (weight.expert == 0 && !one_an_expert) shape.insert(shape.begin(), spec.kinds[0].ffn.experts->count);
    static const std::map<Role, std::string> kGguf = {
        {Role::kEmbedding, "token_embd"}, {Role::kFinalNorm, "output_norm"}, {Role::kOutput, "output"}, {Role::kAttnNorm, "attn_norm"},
        {Role::kQ, "attn_q"}, {Role::kK, "attn_k"}, {Role::kV, "attn_v"}, {Role::kO, "attn_output"}, {Role::kFfnNorm, "ffn_norm"},
        {Role::kGate, "ffn_gate"}, {Role::kUp, "ffn_up"}, {Role::kDown, "ffn_down"}, {Role::kRouter, "ffn_gate_inp"},
        {Role::kExpertGate, "ffn_gate_exps"}, {Role::kExpertUp, "ffn_up_exps"}, {Role::kExpertDown, "ffn_down_exps"}};
    std::string name = Cat(weight.layer < 0 ? std::string() : Cat("blk.", weight.layer, "."), kGguf.at(weight.role), ".weight");
    if (weight.expert >= 0 && one_an_expert) name.replace(name.find("_exps"), 5, Cat(".", weight.expert));
    writer.Tensor(name, type == DType::kF32 ? 0 : number, shape, bytes);
  }
  return writer.Bytes();
}

Checkpoint WriteAndOpen(const Model& model, const TempDir& dir) {
  const auto spec = SpecFromConfigText(model.config);
  EXPECT_TRUE(spec.ok()) << spec.status();
  std::string path = dir.path();
  if (model.gguf) {
    path = dir.Path("model.gguf");
    test::WriteFile(path, GgufBytes(*spec, model.dtype, model.other_experts));
  } else {
    test::WriteFile(dir.Path("config.json"), model.config);
    std::vector<TestTensor> tensors = HfTensors(*spec, model.dtype, model.other_experts);
    if (model.fused) tensors = Fuse(std::move(tensors), *spec);
    test::WriteFile(dir.Path("model.safetensors"), test::SafetensorsBytes(tensors));
  }
  auto checkpoint = OpenCheckpoint(path);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return *std::move(checkpoint);
}

// Every element of a rank's part, and one more owner for each of them.
void CheckPart(const Weight& weight, const Part& part, const Slot& slot, std::vector<int>& owners) {
  for (int64_t r = part.rows.begin; r < part.rows.end; ++r) {
    for (int64_t c = part.cols.begin; c < part.cols.end; ++c) ++owners[static_cast<size_t>(r * weight.cols + c)];
    const int64_t own = r - part.rows.begin;
    if (slot.vector != nullptr) {
      EXPECT_EQ(std::span<const float>(*slot.vector)[static_cast<size_t>(own)], weight.plus + static_cast<float>(Element(weight.name, r, 0))) << weight.name;
      continue;
    }
    const PackedWeight& matrix = *slot.matrix;
    const StoredColumns stored = StoredCols(part.cols, {.codes = matrix.dtype});
    EXPECT_EQ(matrix.lead, stored.lead);
    ASSERT_EQ(matrix.row_bytes, stored.bytes);
    const std::string expected = Row(weight.name, r, stored.range, matrix.dtype);
    ASSERT_EQ(std::memcmp(matrix.row(own), expected.data(), expected.size()), 0) << weight.name << " row " << r;
  }
}

int ExpectedOwners(const Weight& weight, const ModelSpec& spec, const Grid& grid, int64_t row) {
  const auto parts = static_cast<int>(grid.attention_parts);
  if (weight.role == Role::kOBias) return parts;
  if (weight.role == Role::kDownBias) return 1;
  if (weight.split == Split::kReplicated) return static_cast<int>(grid.ranks);
  if (weight.split == Split::kHeadRows || weight.split == Split::kHeadCols) return parts;
  if (weight.split != Split::kKvHeadRows) return 1;
  const Attention& attention = spec.layer(weight.layer).attention;
  int owners = 0;
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    const Range own = RankCut{grid, rank}.KvHeads(attention);
    owners += row / attention.head_dim >= own.begin && row / attention.head_dim < own.end ? 1 : 0;
  }
  return owners;
}

void CheckGrid(const Checkpoint& checkpoint, const Grid& grid) {
  const ModelSpec& spec = checkpoint.spec;
  const std::vector<Weight> table = WeightTable(spec);
  std::vector<std::vector<int>> owners;
  for (const Weight& weight : table) owners.emplace_back(static_cast<size_t>(weight.rows * weight.cols));
  for (int64_t rank = 0; rank < grid.ranks; ++rank) {
    const RankCut cut{grid, rank};
    int64_t bytes_read = 0;
    auto weights = LoadRankWeights(checkpoint, cut, {.bytes_read = &bytes_read});
    ASSERT_TRUE(weights.ok()) << weights.status();
    EXPECT_EQ(bytes_read, BytesToRead(checkpoint, cut));
    EXPECT_EQ(weights->bytes, WeightBytes(checkpoint, cut));
    for (size_t i = 0; i < table.size(); ++i) {
      const Part part = PartOf(table[i], spec, cut);
      if (part.empty()) continue;
      CheckPart(table[i], part, SlotOf(*weights, table[i], spec, cut), owners[i]);
    }
  }
  for (size_t i = 0; i < table.size(); ++i)
    for (int64_t r = 0; r < table[i].rows; ++r)
      for (int64_t c = 0; c < table[i].cols; ++c)
        ASSERT_EQ(owners[i][static_cast<size_t>(r * table[i].cols + c)], ExpectedOwners(table[i], spec, grid, r)) << table[i].name << " " << r;
}

class Reassembles : public testing::TestWithParam<Model> {};

TEST_P(Reassembles, OnOneToFourRanks) {
  const TempDir dir;
  const Checkpoint checkpoint = WriteAndOpen(GetParam(), dir);
  for (const Grid& grid : {Grid{1, 1}, Grid{2, 1}, Grid{3, 1}, Grid{4, 1}, Grid{2, 2}, Grid{4, 2}, Grid{4, 4}, Grid{7, 1}, Grid{2, 1, 1, 2},
                           Grid{3, 1, 1, 3}, Grid{4, 2, 1, 2}})
    CheckGrid(checkpoint, grid);
}

constexpr const char* kHeads = R"("num_attention_heads":9,"num_key_value_heads":3,"head_dim":4,"intermediate_size":13,)";
constexpr const char* kQuantised = R"("num_attention_heads":6,"num_key_value_heads":2,"head_dim":16,"intermediate_size":96,)";
INSTANTIATE_TEST_SUITE_P(All, Reassembles, testing::Values(
    Model{"Dense", Config("LlamaForCausalLM", kHeads), DType::kBF16},
    Model{"DenseBiasesTied", Config("LlamaForCausalLM", std::string(kHeads) + R"("attention_bias":true,"mlp_bias":true,"tie_word_embeddings":true,)"), DType::kF16},
    Model{"QkNorm", Config("Qwen3ForCausalLM", kHeads), DType::kF32},
    Model{"Experts", Config("MixtralForCausalLM", std::string(kHeads) + R"("num_local_experts":6,)"), DType::kBF16},
    Model{"ExpertsOnSomeLayers", Config("Qwen3MoeForCausalLM", std::string(kHeads) + R"("num_experts":5,"num_experts_per_tok":2,"moe_intermediate_size":7,"mlp_only_layers":[0],)"), DType::kF32},
    Model{"FusedTransposed", Config("Llama4ForCausalLM", std::string(kHeads) + R"("num_local_experts":6,)"), DType::kBF16, false, true},
    Model{"Fused", Config("Qwen3MoeForCausalLM", std::string(kHeads) + R"("num_experts":5,"num_experts_per_tok":2,"moe_intermediate_size":7,)"), DType::kF16, false, true},
    Model{"StackedProjections", Config("Phi3ForCausalLM", kHeads), DType::kBF16, false, false, true},
    Model{"ProjectionsByKvGroup", Config("FalconForCausalLM", R"("num_attention_heads":8,"num_kv_heads":2,"new_decoder_architecture":true,)"), DType::kF32, false, false, true},
    Model{"ProjectionsByHeadWithBiases", Config("GPTNeoXForCausalLM", R"("num_attention_heads":8,"rotary_pct":1.0,"intermediate_size":13,)"), DType::kF16, false, false, true},
    Model{"StackedAndTransposed", Config("GPT2LMHeadModel", R"("num_attention_heads":8,"n_inner":13,)"), DType::kF32, false, false, true},
    Model{"NormsPlusOne", Config("Gemma2ForCausalLM", kHeads), DType::kBF16},
    Model{"NormsOverAllHeads", Config("Olmo2ForCausalLM", kHeads), DType::kF32},
    Model{"OneTensorAnExpert", Config("MixtralForCausalLM", std::string(kQuantised) + R"("num_local_experts":3,)"), DType::kQ8_0, true, true},
    Model{"Q8", Config("LlamaForCausalLM", kQuantised), DType::kQ8_0, true},
    Model{"Q4WithBorderBlocks", Config("LlamaForCausalLM", kQuantised), DType::kQ4_0, true},
    Model{"Q41Experts", Config("MixtralForCausalLM", std::string(kQuantised) + R"("num_local_experts":6,)"), DType::kQ4_1, true},
    Model{"HalfGguf", Config("LlamaForCausalLM", kQuantised), DType::kF16, true}),
    [](const auto& row) { return std::string(row.param.name); });

// 96 columns in blocks of 32 over 4 ranks: cuts at 24, 48 and 72 lie inside blocks, both neighbours keep the block.
TEST(BorderBlocks, AreKeptByBothNeighboursAndCounted) {
  const TempDir dir;
  const Checkpoint checkpoint = WriteAndOpen({"", Config("LlamaForCausalLM", kQuantised), DType::kQ4_0, true}, dir);
  int64_t read = 0, shared = 0;
  for (int64_t rank = 0; rank < 4; ++rank) {
    read += BytesToRead(checkpoint, {{4, 1}, rank});
    shared += SharedBlockBytes(checkpoint, {{4, 1}, rank});
  }
  // Columns: 6 heads of 16 cut at 1, 3, 4 (of 6) heads = 16, 48, 64: two inside blocks; feed-forward cut at 24, 48, 72: three.
  EXPECT_EQ(shared, 2 * (32 * 2 + 32 * 3) * 18);
  const int64_t once = BytesToRead(checkpoint, {{1, 1}, 0});
  const int64_t norms = (2 * 2 + 1) * 32 * 4;
  // KV heads: ranks own query heads 0, 1-2, 3, 4-5 of groups 0-2 and 3-5, so both KV heads live on two ranks.
  const int64_t kv = 2 * 2 * 2 * 16 * 18;
  EXPECT_EQ(read, once + shared + 3 * norms + kv);
}

TEST(Load, ReportsProgressAndStopsWhenAsked) {
  const TempDir dir;
  const Checkpoint checkpoint = WriteAndOpen({"", Config("LlamaForCausalLM", kHeads), DType::kBF16}, dir);
  int64_t last = -1, total = 0;
  const auto progress = [&](int64_t done, int64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  };
  ASSERT_TRUE(LoadRankWeights(checkpoint, {}, {.progress = progress}).ok());
  EXPECT_EQ(last, total);
  int asked = 0;
  const auto stopped = LoadRankWeights(checkpoint, {}, {.cancelled = [&] { return ++asked > 3; }});
  EXPECT_EQ(stopped.status().code(), absl::StatusCode::kCancelled) << stopped.status();
  EXPECT_EQ(asked, 4);
}

TEST(Load, AFileThatShrankIsNamed) {
  const TempDir dir;
  const Checkpoint checkpoint = WriteAndOpen({"", Config("LlamaForCausalLM", kHeads), DType::kBF16}, dir);
  std::filesystem::resize_file(dir.Path("model.safetensors"), 6000);
  const auto weights = LoadRankWeights(checkpoint, {}, {});
  ASSERT_FALSE(weights.ok());
  EXPECT_NE(Message(weights.status()).find("model.safetensors"), std::string::npos) << weights.status();
  EXPECT_NE(Message(weights.status()).find("tensor "), std::string::npos) << weights.status();
}

TEST(Load, AConfigAloneHasNoWeights) {
  const TempDir dir;
  test::WriteFile(dir.Path("config.json"), Config("LlamaForCausalLM", kHeads));
  const auto checkpoint = OpenCheckpoint(dir.path());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(LoadRankWeights(*checkpoint, {}, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace drover
