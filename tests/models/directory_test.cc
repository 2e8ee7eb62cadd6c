// Model directories: one file, shards with an index, a config alone, and every way in which they can be broken.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "models/checkpoint/checkpoint.h"
#include "models/registry.h"
#include "models/weights.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

using test::TempDir;
using test::TestTensor;
using test::WriteFile;

constexpr const char* kConfig =
    R"({"architectures":["LlamaForCausalLM"],"hidden_size":8,"intermediate_size":12,"max_position_embeddings":16,
        "num_attention_heads":2,"num_hidden_layers":1,"vocab_size":10,"eos_token_id":2})";

std::vector<TestTensor> Tensors() {
  std::vector<TestTensor> tensors;
  for (const Weight& weight : WeightTable(*SpecFromConfigText(kConfig))) {
    const std::vector<int64_t> shape = weight.vector() ? std::vector<int64_t>{weight.rows} : std::vector<int64_t>{weight.rows, weight.cols};
    tensors.push_back({weight.name, "BF16", shape, std::string(static_cast<size_t>(weight.rows * weight.cols * 2), '\1')});
  }
  return tensors;
}

// Writes config and tensors as one file.
void WriteSingle(const TempDir& dir, const std::vector<TestTensor>& tensors) {
  WriteFile(dir.Path("config.json"), kConfig);
  WriteFile(dir.Path("model.safetensors"), test::SafetensorsBytes(tensors));
}

// Two shards and an index; `edit` may change the index before it is written.
void WriteShards(const TempDir& dir, void (*edit)(Json& index) = nullptr) {
  const char* files[] = {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"};
  std::vector<TestTensor> halves[2];
  Json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Json::object()}};
  int64_t total = 0;
  size_t i = 0;
  for (const TestTensor& tensor : Tensors()) {
    const size_t half = i++ % 2;
    halves[half].push_back(tensor);
    index["weight_map"][tensor.name] = files[half];
    total += static_cast<int64_t>(tensor.bytes.size());
  }
  index["metadata"]["total_size"] = total;
  if (edit != nullptr) edit(index);
  WriteFile(dir.Path("config.json"), kConfig);
  for (size_t half = 0; half < 2; ++half) WriteFile(dir.Path(files[half]), test::SafetensorsBytes(halves[half]));
  WriteFile(dir.Path("model.safetensors.index.json"), index.dump());
}

void ExpectRefused(const std::string& path, const std::string& message) {
  const auto checkpoint = OpenCheckpoint(path);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_NE(Message(checkpoint.status()).find(message), std::string::npos) << checkpoint.status();
  EXPECT_NE(Message(checkpoint.status()).find(path), std::string::npos) << checkpoint.status();
}

TEST(Directory, OneFile) {
  const TempDir dir;
  WriteSingle(dir, Tensors());
  const auto checkpoint = OpenCheckpoint(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->form, CheckpointForm::kSafetensors);
  EXPECT_EQ(checkpoint->tensors.size(), Tensors().size());
  EXPECT_EQ(checkpoint->file_bytes, static_cast<int64_t>(std::filesystem::file_size(dir.Path("model.safetensors"))));
}

TEST(Directory, ShardsWithAnIndex) {
  const TempDir dir;
  WriteShards(dir);
  const auto checkpoint = OpenCheckpoint(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->files.size(), 2u);
}

TEST(Directory, ConfigAlone) {
  const TempDir dir;
  WriteFile(dir.Path("config.json"), kConfig);
  for (const std::string& path : {dir.path(), dir.Path("config.json")}) {
    const auto checkpoint = OpenCheckpoint(path);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_EQ(checkpoint->form, CheckpointForm::kConfigOnly);
  }
}

TEST(Directory, GenerationConfigHasTheRealStopIds) {
  const TempDir dir;
  WriteFile(dir.Path("config.json"), kConfig);
  WriteFile(dir.Path("generation_config.json"), R"({"eos_token_id":[3,4],"temperature":0.6})");
  const auto checkpoint = OpenCheckpoint(dir.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->spec.end_ids, (std::vector<int32_t>{3, 4}));
  WriteFile(dir.Path("generation_config.json"), R"({"eos_token_id":[3,10]})");
  ExpectRefused(dir.path(), "eos_token_id: expected ids below 10");
}

TEST(Directory, BuffersOfOldLibrariesAreIgnored) {
  const TempDir dir;
  std::vector<TestTensor> tensors = Tensors();
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, std::string(8, '\0')});
  WriteSingle(dir, tensors);
  EXPECT_TRUE(OpenCheckpoint(dir.path()).ok());
}

TEST(BadDirectory, WrongPaths) {
  const TempDir dir;
  ExpectRefused(dir.Path("nowhere"), "no such file or directory");
  ExpectRefused(dir.path(), "no config.json");
  WriteFile(dir.Path("model.bin"), "x");
  ExpectRefused(dir.Path("model.bin"), "expected a model directory");
  WriteFile(dir.Path("empty.gguf"), "");
  ExpectRefused(dir.Path("empty.gguf"), "not a GGUF file");
}

TEST(BadDirectory, PickledWeights) {
  const TempDir dir;
  WriteFile(dir.Path("config.json"), kConfig);
  WriteFile(dir.Path("pytorch_model.bin"), "x");
  ExpectRefused(dir.path(), "found pickled weights (.bin, .pt)");
  ExpectRefused(dir.path(), "save_pretrained");
}

TEST(BadDirectory, MissingShard) {
  const TempDir dir;
  WriteShards(dir);
  std::filesystem::remove(dir.Path("model-00002-of-00002.safetensors"));
  ExpectRefused(dir.path(), "model-00002-of-00002.safetensors: shard is missing");
}

TEST(BadDirectory, TruncatedShard) {
  const TempDir dir;
  WriteShards(dir);
  const std::string shard = dir.Path("model-00002-of-00002.safetensors");
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 1);
  ExpectRefused(dir.path(), "(truncated file?)");
}

TEST(BadDirectory, UnlistedShard) {
  const TempDir dir;
  WriteShards(dir);
  std::filesystem::copy_file(dir.Path("model-00001-of-00002.safetensors"), dir.Path("model-00003-of-00003.safetensors"));
  ExpectRefused(dir.path(), "does not list");
}

struct BadIndex {
  const char* name;
  void (*edit)(Json& index);
  const char* message;
};

class BadIndexes : public testing::TestWithParam<BadIndex> {};

TEST_P(BadIndexes, AreRefusedWithTheirReason) {
  const TempDir dir;
  WriteShards(dir, GetParam().edit);
  ExpectRefused(dir.path(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(All, BadIndexes, testing::Values(
    BadIndex{"TotalSize", [](Json& i) { i["metadata"]["total_size"] = 5; }, "metadata.total_size: found 5, expected"},
    BadIndex{"TensorNotListed", [](Json& i) { i["weight_map"].erase("model.norm.weight"); }, "tensor model.norm.weight of"},
    BadIndex{"TensorInAnotherShard", [](Json& i) { i["weight_map"]["model.norm.weight"] = "model-00002-of-00002.safetensors"; }, "tensor model.norm.weight: found in"},
    BadIndex{"TensorNowhere", [](Json& i) { i["weight_map"]["model.extra"] = "model-00001-of-00002.safetensors"; }, "tensor model.extra: not found"},
    BadIndex{"PathOutside", [](Json& i) { i["weight_map"]["a"] = "../../etc/passwd.safetensors"; }, "expected a plain file name"},
    BadIndex{"AbsolutePath", [](Json& i) { i["weight_map"]["a"] = "/etc/x.safetensors"; }, "expected a plain file name"},
    BadIndex{"OtherFile", [](Json& i) { i["weight_map"]["a"] = "pytorch_model.bin"; }, "expected a plain file name"},
    BadIndex{"NumberForAFile", [](Json& i) { i["weight_map"]["a"] = 1; }, "found a number"},
    BadIndex{"EmptyTensorName", [](Json& i) { i["weight_map"][""] = "a.safetensors"; }, "tensor name of 0 bytes"},
    BadIndex{"NoMap", [](Json& i) { i.erase("weight_map"); }, "weight_map: found nothing"},
    BadIndex{"EmptyMap", [](Json& i) { i["weight_map"] = Json::object(); }, "weight_map: found no tensor"},
    BadIndex{"MapIsAList", [](Json& i) { i["weight_map"] = Json::array({1}); }, "index.json"},
    BadIndex{"UnknownKey", [](Json& i) { i["files"] = 1; }, "unknown key \"files\""},
    BadIndex{"NotAnObject", [](Json& i) { i = Json::array(); }, "index.json"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(BadTensors, ListsTheFirstFiveDifferences) {
  const TempDir dir;
  std::vector<TestTensor> tensors = Tensors();
  for (TestTensor& tensor : tensors) tensor.name += tensor.name.find("proj") == std::string::npos ? "" : "x";
  WriteSingle(dir, tensors);
  const auto checkpoint = OpenCheckpoint(dir.path());
  ASSERT_FALSE(checkpoint.ok());
  const std::string text = Message(checkpoint.status());
  EXPECT_NE(text.find("tensor model.layers.0.self_attn.q_proj.weight is missing, expected with shape [8, 8]"), std::string::npos) << text;
  EXPECT_NE(text.find("and 9 more"), std::string::npos) << text;
}

TEST(BadTensors, WrongShapeAndDtypeAndLeftOver) {
  const std::tuple<std::string, TestTensor, const char*> rows[] = {
      {"model.norm.weight", {"model.norm.weight", "BF16", {4}, std::string(8, 'x')}, "model.norm.weight: found shape [4], expected [8]"},
      {"model.norm.weight", {"model.norm.weight", "I16", {8}, std::string(16, 'x')}, "model.norm.weight: found dtype i16"},
      {"lm_head.weight", {"lm_head.weight", "F8_E4M3", {10, 8}, std::string(80, 'x')}, "lm_head.weight: found dtype f8_e4m3"},
      {"", {"model.layers.1.mlp.up_proj.weight", "BF16", {1}, "xx"}, "tensor model.layers.1.mlp.up_proj.weight [1] is not part of the model"}};
  for (const auto& [replaced, tensor, message] : rows) {
    const TempDir dir;
    std::vector<TestTensor> tensors = Tensors();
    std::erase_if(tensors, [&name = replaced](const TestTensor& t) { return t.name == name; });
    tensors.push_back(tensor);
    WriteSingle(dir, tensors);
    ExpectRefused(dir.path(), message);
  }
}

// A model in two files; `change` breaks the second.
std::string WriteParts(const TempDir& dir, const std::function<void(test::GgufWriter&)>& change = {}) {
  test::GgufWriter first = test::TinyLlamaMetadata(), second;
  first.U32("split.no", 0);
  first.U32("split.count", 2);
  test::AddTinyLlamaTensors(first);
  second.U32("split.no", 1);
  if (!change) second.U32("split.count", 2);
  if (change) change(second);
  WriteFile(dir.Path("m-00001-of-00002.gguf"), first.Bytes());
  WriteFile(dir.Path("m-00002-of-00002.gguf"), second.Bytes());
  return dir.Path("m-00001-of-00002.gguf");
}

TEST(GgufParts, AreOneModel) {
  TempDir dir;
  const auto whole = OpenCheckpoint(WriteParts(dir));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->files.size(), 2u);
  const auto directory = OpenCheckpoint(dir.Path(""));
  ASSERT_TRUE(directory.ok()) << directory.status();
  EXPECT_EQ(directory->files.size(), 2u);
}

TEST(GgufParts, ThatDoNotFitAreRefused) {
  TempDir other, again, renamed, missing;
  ExpectRefused(WriteParts(other, [](test::GgufWriter& w) { w.U32("split.count", 3); }), "split.no, split.count: found 1, 3, expected 1, 2");
  ExpectRefused(WriteParts(again, [](test::GgufWriter& w) { w.U32("split.count", 2); test::AddTinyLlamaTensors(w); }), "is in another part too");
  std::filesystem::rename(WriteParts(renamed), renamed.Path("m.gguf"));
  ExpectRefused(renamed.Path("m.gguf"), "expected the first of those files");
  const std::string first = WriteParts(missing);
  std::filesystem::remove(missing.Path("m-00002-of-00002.gguf"));
  ExpectRefused(first, "m-00002-of-00002.gguf");
}

}  // namespace
}  // namespace drover
