// Wrong files fail by name: each mutation of a checkpoint gives its own clear error, at opening or at loading, and no crash.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/models/model_files.h"
#include "worker/weights/load.h"

namespace drover {
namespace {

using test::TempDir;
using test::TestTensor;
using OrderedJson = nlohmann::ordered_json;

constexpr const char* kPlain = "smollm2-tied";
constexpr const char* kFp8 = "ct-fp8-block";
constexpr const char* kGptq = "gptq-8bit-order";
constexpr const char* kInt4 = "ct-int4-order";
constexpr const char* kNf4 = "nf4-nested-qwen3";
constexpr const char* kGguf = "gguf-llama-q4_1";
constexpr const char* kMxfp4 = "gpt-oss";

const std::string kQ = "model.layers.0.self_attn.q_proj";
const std::string kDown = "model.layers.1.mlp.down_proj";
const std::string kExpert = "model.layers.0.mlp.experts.0.up_proj";

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A checkpoint taken apart: what a mutation changes before it is written again.
struct Parts {
  OrderedJson config;
  std::vector<TestTensor> tensors;
  std::function<void(std::string&)> bytes;  // of the finished weights file
  std::map<std::string, std::string> files;  // further ones

  TestTensor& Of(const std::string& name) {
    for (TestTensor& tensor : tensors)
      if (tensor.name == name) return tensor;
    ADD_FAILURE() << "no tensor " << name;
    return tensors[0];
  }
  void Remove(const std::string& name) { std::erase_if(tensors, [&](const TestTensor& tensor) { return tensor.name == name; }); }
  // Value `index` of a tensor replaced by the bytes of `value`.
  template <class T>
  void Put(const std::string& name, size_t index, T value) {
    std::memcpy(Of(name).bytes.data() + index * sizeof value, &value, sizeof value);
  }
};

Parts TakeApart(const std::string& folder) {
  Parts parts;
  if (!std::filesystem::exists(folder + "/model.safetensors")) return parts;
  parts.config = OrderedJson::parse(ReadAll(folder + "/config.json"));
  const std::string file = ReadAll(folder + "/model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const OrderedJson header = OrderedJson::parse(file.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = entry["data_offsets"][0].get<size_t>(), end = entry["data_offsets"][1].get<size_t>();
    parts.tensors.push_back({name, entry["dtype"], entry["shape"], file.substr(8 + length + begin, end - begin)});
  }
  return parts;
}

void Write(const Parts& parts, const std::string& source, const TempDir& dir) {
  const bool gguf = parts.tensors.empty();
  std::string file = gguf ? ReadAll(source + "/model.gguf") : test::SafetensorsBytes(parts.tensors);
  if (parts.bytes) parts.bytes(file);
  test::WriteFile(dir.Path(gguf ? "model.gguf" : "model.safetensors"), file);
  if (!gguf) test::WriteFile(dir.Path("config.json"), parts.config.dump());
  for (const auto& [name, bytes] : parts.files) test::WriteFile(dir.Path(name), bytes);
}

// Opening and loading on every rank of two.
absl::Status OpenAndLoad(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(path));
  for (const int64_t rank : {0, 1}) DROVER_RETURN_IF_ERROR(LoadRankWeights(checkpoint, {{2, 1}, rank}, {}).status());
  return absl::OkStatus();
}

void ReplaceOnce(std::string& text, const std::string& what, const std::string& with) {
  const size_t at = text.find(what);
  ASSERT_NE(at, std::string::npos) << what;
  text.replace(at, what.size(), with);
}

struct Mutation {
  const char* name;
  const char* base;
  void (*change)(Parts& parts);
  std::string message;  // part of the error
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

const Mutation kMutations[] = {
    {"RenamedTensor", kPlain, [](Parts& p) { p.Of(kQ + ".weight").name = "model.layers.0.self_attn.query.weight"; },
     "tensor model.layers.0.self_attn.q_proj.weight is missing"},
    {"MissingNorm", kPlain, [](Parts& p) { p.Remove("model.norm.weight"); }, "tensor model.norm.weight is missing"},
    {"ExtraTensor", kPlain, [](Parts& p) { p.tensors.push_back({"model.adapter.weight", "F32", {1}, "four"}); },
     "tensor model.adapter.weight [1] is not part of the model"},
    {"WrongDtype", kPlain, [](Parts& p) { p.Of(kQ + ".weight").dtype = "I16"; }, "q_proj.weight: found dtype i16, expected one of f32"},
    {"TransposedShape", kPlain, [](Parts& p) { auto& s = p.Of(kDown + ".weight").shape; std::swap(s[0], s[1]); },
     "tensor model.layers.1.mlp.down_proj.weight: found shape ["},
    {"NormAsMatrix", kPlain, [](Parts& p) { p.Of("model.norm.weight").shape.push_back(1); }, "tensor model.norm.weight: found shape ["},
    {"ShapeLargerThanBytes", kPlain, [](Parts& p) { p.Of(kQ + ".weight").shape[0] *= 2; }, "q_proj.weight: data_offsets: found"},
    {"ShapeOverflows", kPlain, [](Parts& p) { p.Of(kQ + ".weight").shape = {int64_t{1} << 52, int64_t{1} << 52}; }, "shape overflows"},
    {"UnknownDtype", kPlain, [](Parts& p) { p.Of(kQ + ".weight").dtype = "F7"; }, "dtype: found \"F7\", which is not known"},
    {"TruncatedShard", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { b.resize(b.size() - 100); }; }, "(truncated file?)"},
    {"BytesBehindTheEnd", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { b += "more"; }; }, "model.safetensors: data: found"},
    {"EmptyFile", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { b.clear(); }; }, "file of 0 bytes is too short"},
    {"DuplicateKey", kPlain,
     [](Parts& p) { p.bytes = [](std::string& b) { ReplaceOnce(b, kQ, "model.layers.1.self_attn.q_proj"); }; }, "duplicate key"},
    {"AbsurdHeaderLength", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { b[7] = '\x7f'; }; }, "header length: found 9"},
    {"HeaderCutShort", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { b[0] = static_cast<char>(b[0] - 1); }; }, "not valid JSON"},
    {"OverlappingTensors", kPlain,
     [](Parts& p) { p.bytes = [](std::string& b) { ReplaceOnce(b, "\"data_offsets\":[0,", "\"data_offsets\":[2,"); }; }, "data_offsets: found"},
    {"NegativeSize", kPlain, [](Parts& p) { p.bytes = [](std::string& b) { ReplaceOnce(b, "\"shape\":[1", "\"shape\":[-"); }; },
     "expected an unsigned integer"},
    {"MissingShard", kPlain,
     [](Parts& p) { p.files["model.safetensors.index.json"] = R"({"weight_map":{"model.norm.weight":"model-2.safetensors"}})"; },
     "model-2.safetensors: shard is missing"},
    {"IndexLeavesOut", kPlain,
     [](Parts& p) { p.files["model.safetensors.index.json"] = R"({"weight_map":{"model.norm.weight":"model.safetensors"}})"; },
     "is not in the weight_map"},
    {"MoreLayersThanTheFile", kPlain, [](Parts& p) { p.config["num_hidden_layers"] = 4; }, "tensor model.layers.3."},
    {"UnknownConfigKey", kPlain, [](Parts& p) { p.config["rope_twist"] = 2; }, "config key with an unknown meaning: rope_twist = 2"},
    {"UnknownMethod", kFp8, [](Parts& p) { p.config["quantization_config"]["quant_method"] = "quark"; },
     "quant_method: found \"quark\", expected one of"},
    {"UnknownMethodKey", kGptq, [](Parts& p) { p.config["quantization_config"]["rotate"] = true; }, "quantization_config.rotate = true"},
    {"OtherBits", kGptq, [](Parts& p) { p.config["quantization_config"]["bits"] = 4; }, "qweight: found shape ["},
    {"NoQuantizationConfig", kFp8, [](Parts& p) { p.config.erase("quantization_config"); }, "found dtype f8_e4m3, expected one of f32"},
    {"MissingScale", kFp8, [](Parts& p) { p.Remove(kQ + ".weight_scale"); }, "q_proj.weight_scale_inv is missing, expected with shape ["},
    {"ScaleOfAnotherShape", kFp8, [](Parts& p) { p.Of(kQ + ".weight_scale").shape = {4}; }, "q_proj.weight_scale: found shape [4], expected [2, 2]"},
    {"ScaleOfAnotherDtype", kFp8, [](Parts& p) { p.Of(kQ + ".weight_scale").dtype = "I32"; }, "q_proj.weight_scale: found dtype i32, expected one of f32"},
    {"NanScale", kFp8, [](Parts& p) { p.Put(kDown + ".weight_scale", 1, kNan); }, "down_proj.weight_scale: scale [0, 1]: found nan, expected"},
    {"InfiniteScale", kFp8, [](Parts& p) { p.Put(kDown + ".weight_scale", 2, kInfinity); }, "down_proj.weight_scale: scale [1, 0]: found inf"},
    {"NegativeScale", kFp8, [](Parts& p) { p.Put(kQ + ".weight_scale", 0, -0.5f); }, "q_proj.weight_scale: scale [0, 0]: found -0.5"},
    {"ZeroScale", kFp8, [](Parts& p) { p.Put(kQ + ".weight_scale", 3, 0.0f); }, "q_proj.weight_scale: scale [1, 1]: found 0,"},
    {"MissingOrder", kGptq, [](Parts& p) { p.Remove(kQ + ".g_idx"); }, "q_proj.g_idx is missing, expected with shape ["},
    {"OrderOutOfRange", kGptq, [](Parts& p) { p.Put(kQ + ".g_idx", 5, 77); }, "q_proj.g_idx: input 5: found group 77, expected 0 to"},
    {"OrderThatTheConfigDenies", kGptq, [](Parts& p) { p.config["quantization_config"]["desc_act"] = false; },
     "as the config names no order of its own"},
    {"MissingZeros", kGptq, [](Parts& p) { p.Remove(kQ + ".qzeros"); }, "q_proj.qzeros is missing"},
    {"MissingCodes", kGptq, [](Parts& p) { p.Remove(kQ + ".qweight"); }, "q_proj.weight is missing"},
    {"NonZeroExtraBias", kGptq,
     [](Parts& p) { p.tensors.push_back({kQ + ".bias", "F16", {64}, std::string(128, '\x3c')}); }, "q_proj.bias [64] is not part of the model"},
    {"OtherGroupSize", kInt4, [](Parts& p) { p.config["quantization_config"]["config_groups"]["group_0"]["weights"]["group_size"] = 16; },
     "weight_scale: found shape ["},
    {"OtherMatrixShape", kInt4, [](Parts& p) { p.Put(kQ + ".weight_shape", 0, int64_t{7}); }, "q_proj.weight_shape: found [7, 64], expected ["},
    {"MissingBlockScales", kNf4, [](Parts& p) { p.Remove(kExpert + ".weight.absmax"); }, "up_proj.weight.absmax is missing"},
    {"OtherLevels", kNf4, [](Parts& p) { p.Put(kExpert + ".weight.quant_map", 3, 0.5f); }, "quant_map: level 3: found 0.5, expected -0.39"},
    {"StateOfAnotherMatrix", kNf4,
     [](Parts& p) { p.Of(kExpert + ".weight.quant_state.bitsandbytes__nf4").bytes = p.Of(kQ + ".weight.quant_state.bitsandbytes__nf4").bytes;
                    p.Of(kExpert + ".weight.quant_state.bitsandbytes__nf4").shape = p.Of(kQ + ".weight.quant_state.bitsandbytes__nf4").shape; },
     "bitsandbytes__nf4: shape: found ["},
    {"NotGguf", kGguf, [](Parts& p) { p.bytes = [](std::string& b) { b[0] = 'X'; }; }, "not a GGUF file"},
    {"OldGguf", kGguf, [](Parts& p) { p.bytes = [](std::string& b) { b[4] = 1; }; }, "version: found 1, expected 2 or 3"},
    {"TruncatedGguf", kGguf, [](Parts& p) { p.bytes = [](std::string& b) { b.resize(b.size() / 2); }; }, "model.gguf: tensor "},
    {"AbsurdTensorCount", kGguf, [](Parts& p) { p.bytes = [](std::string& b) { b[12] = '\x70'; }; }, "tensor count: found"},
    {"NanBlockScale", kGguf, [](Parts& p) { p.bytes = [](std::string& b) { b[b.size() - 20] = '\x00', b[b.size() - 19] = '\x7e'; }; },
     "found a scale of nan, expected a finite number"},
    {"NanExponent", kMxfp4, [](Parts& p) { p.Put("model.layers.0.mlp.experts.down_proj_scales", 3, uint8_t{255}); },
     "down_proj_scales: scale [1, 1]: found nan"},
    {"BlocksOfAnotherShape", kMxfp4, [](Parts& p) { p.Of("model.layers.0.mlp.experts.down_proj_blocks").shape = {6, 64, 32}; },
     "down_proj_blocks: found shape [6, 64, 32], expected [6, 64, 2, 16]"},
};

class Mutated : public testing::TestWithParam<Mutation> {};

TEST_P(Mutated, FailsByName) {
  const std::optional<std::string> folder = test::GoldenCase(GetParam().base);
  if (!folder) GTEST_SKIP() << "not here: " << GetParam().base;
  Parts parts = TakeApart(*folder);
  const TempDir whole, changed;
  Write(parts, *folder, whole);
  const absl::Status unchanged = OpenAndLoad(whole.path());
  EXPECT_TRUE(unchanged.ok()) << "taken apart and written again: " << unchanged;
  GetParam().change(parts);
  Write(parts, *folder, changed);
  const absl::Status status = OpenAndLoad(changed.path());
  ASSERT_FALSE(status.ok());
  EXPECT_NE(Message(status).find(GetParam().message), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(All, Mutated, testing::ValuesIn(kMutations), [](const auto& row) { return std::string(row.param.name); });

TEST(Mutations, EachHasItsOwnMessage) {
  std::set<std::string> messages;
  for (const Mutation& mutation : kMutations) EXPECT_TRUE(messages.insert(mutation.message).second) << mutation.name;
  EXPECT_GE(messages.size(), 30u);
}

}  // namespace
}  // namespace drover
