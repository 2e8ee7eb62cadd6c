// GGUF headers: what is read, what the metadata means, and hostile files, each refused with its own reason.
#include <gtest/gtest.h>

#include <cmath>

#include "models/checkpoint/gguf_header.h"
#include "models/checkpoint/gguf_spec.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

using test::GgufWriter;
using test::Little;

absl::StatusOr<GgufHeader> Parse(const std::string& file) { return ParseGguf(file, static_cast<int64_t>(file.size())); }

TEST(Gguf, ReadsMetadataAndPlacesTensors) {
  GgufWriter writer;
  writer.Text("name", "tiny");
  writer.Bool("flag", 1);
  writer.I32s("numbers", {1, -2});
  writer.Texts("words", {"a", ""});
  writer.Tensor("first", 8, {3, 32}, std::string(3 * 34, 'q'));
  writer.Tensor("second", 0, {5}, std::string(20, 'f'));
  const std::string file = writer.Bytes();
  const auto header = Parse(file);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(std::get<std::string>(header->metadata.at("name")), "tiny");
  EXPECT_TRUE(std::get<bool>(header->metadata.at("flag")));
  EXPECT_EQ(std::get<std::vector<int64_t>>(header->metadata.at("numbers")), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(std::get<std::vector<std::string>>(header->metadata.at("words")), (std::vector<std::string>{"a", ""}));
  ASSERT_EQ(header->tensors.size(), 2u);
  EXPECT_EQ(header->tensors[0].shape, (std::vector<int64_t>{3, 32}));
  EXPECT_EQ(header->tensors[0].dtype, DType::kQ8_0);
  EXPECT_EQ(file.substr(static_cast<size_t>(header->tensors[0].offset), 102), std::string(102, 'q'));
  EXPECT_EQ(file.substr(static_cast<size_t>(header->tensors[1].offset), 20), std::string(20, 'f'));
}

TEST(Gguf, AsksForMoreOfALongHeader) {
  GgufWriter writer = test::TinyLlamaMetadata();
  const std::string file = writer.Bytes();
  for (size_t cut = 8; cut < file.size() - 40; cut += 7)
    EXPECT_EQ(ParseGguf(file.substr(0, cut), static_cast<int64_t>(file.size())).status().code(), absl::StatusCode::kOutOfRange) << cut;
}

TEST(Gguf, EveryTruncationIsRefused) {
  GgufWriter writer = test::TinyLlamaMetadata();
  test::AddTinyLlamaTensors(writer);
  const std::string file = writer.Bytes();
  ASSERT_TRUE(Parse(file).ok());
  for (size_t cut = 0; cut < file.size(); cut += cut < 4096 ? 1 : 509) EXPECT_FALSE(Parse(file.substr(0, cut)).ok()) << cut;
}

struct Hostile {
  const char* name;
  void (*change)(GgufWriter& writer);
  const char* message;  // part of the error
};

class HostileGguf : public testing::TestWithParam<Hostile> {};

TEST_P(HostileGguf, IsRefusedWithItsReason) {
  GgufWriter writer;
  GetParam().change(writer);
  const auto header = Parse(writer.Bytes());
  ASSERT_FALSE(header.ok());
  EXPECT_NE(Message(header.status()).find(GetParam().message), std::string::npos) << header.status();
}

using W = GgufWriter;
constexpr uint64_t kHuge = uint64_t{1} << 62;
INSTANTIATE_TEST_SUITE_P(All, HostileGguf, testing::Values(
    Hostile{"VersionOne", [](W& w) { w.version = 1; }, "version: found 1"},
    Hostile{"BigEndian", [](W& w) { w.version = 3u << 24; }, "version: found 50331648"},
    Hostile{"TensorCountHuge", [](W& w) { w.tensor_count = kHuge; }, "tensor count: found"},
    Hostile{"MetadataCountHuge", [](W& w) { w.metadata_count = kHuge; }, "metadata count: found"},
    Hostile{"MoreMetadataThanThere", [](W& w) { w.metadata_count = 5; }, "key 0 is empty"},
    Hostile{"MoreTensorsThanThere", [](W& w) { w.tensor_count = 5; }, "name is empty"},
    Hostile{"EmptyKey", [](W& w) { w.U32("", 1); }, "key 0 is empty"},
    Hostile{"ControlInKey", [](W& w) { w.U32("a\nb", 1); }, "control character"},
    Hostile{"LongKey", [](W& w) { w.U32(std::string(1025, 'k'), 1); }, "length: found 1025"},
    Hostile{"DuplicateKey", [](W& w) { w.U32("k", 1); w.U32("k", 1); }, "duplicate key"},
    Hostile{"UnknownValueType", [](W& w) { w.Raw("k", 13, "xxxx"); }, "value type: found 13"},
    Hostile{"BooleanTwo", [](W& w) { w.Bool("k", 2); }, "boolean: found 2"},
    Hostile{"StringLengthHuge", [](W& w) { w.Raw("k", 8, Little(kHuge)); }, "length: found"},
    Hostile{"StringBehindTheFile", [](W& w) { w.Raw("k", 8, Little<uint64_t>(1000)); }, "the file ends at byte"},
    Hostile{"ArrayCountHuge", [](W& w) { w.Raw("k", 9, Little<uint32_t>(0) + Little(kHuge)); }, "array of"},
    Hostile{"ArrayBehindTheFile", [](W& w) { w.Raw("k", 9, Little<uint32_t>(10) + Little<uint64_t>(100)); }, "the file ends at byte"},
    Hostile{"ArrayOfArrays", [](W& w) { w.Raw("k", 9, Little<uint32_t>(9) + Little<uint64_t>(1)); }, "array of arrays"},
    Hostile{"ArrayOfUnknown", [](W& w) { w.Raw("k", 9, Little<uint32_t>(99) + Little<uint64_t>(1)); }, "value type: found 99"},
    Hostile{"IntegerAbove63Bits", [](W& w) { w.Raw("k", 10, Little(~uint64_t{0})); }, "expected below 2^63"},
    Hostile{"AlignmentZero", [](W& w) { w.U32("general.alignment", 0); }, "general.alignment"},
    Hostile{"AlignmentThree", [](W& w) { w.U32("general.alignment", 3); }, "expected a power of two"},
    Hostile{"AlignmentHuge", [](W& w) { w.U32("general.alignment", 1u << 31); }, "expected a power of two"},
    Hostile{"AlignmentText", [](W& w) { w.Text("general.alignment", "32"); }, "expected a power of two"},
    Hostile{"TensorNoName", [](W& w) { w.Tensor("", 0, {1}, "xxxx"); }, "name is empty"},
    Hostile{"TensorNoDimensions", [](W& w) { w.Tensor("t", 0, {}, "xxxx"); }, "dimensions: found 0"},
    Hostile{"TensorFiveDimensions", [](W& w) { w.Tensor("t", 0, {1, 1, 1, 1, 1}, "xxxx"); }, "dimensions: found 5"},
    Hostile{"TensorSizeZero", [](W& w) { w.Tensor("t", 0, {0}, ""); }, "dimension 0: found 0"},
    Hostile{"TensorSizeOverflow", [](W& w) { w.Tensor("t", 0, {int64_t{1} << 40, int64_t{1} << 40}, ""); }, "dimension 1"},
    Hostile{"TensorBytesOverflow", [](W& w) { w.Tensor("t", 0, {int64_t{1} << 31, int64_t{1} << 31}, ""); }, "overflow"},
    Hostile{"TensorTypeUnknown", [](W& w) { w.Tensor("t", 200, {32}, ""); }, "type: found number 200"},
    Hostile{"TensorTypeIQuant", [](W& w) { w.Tensor("t", 23, {256}, std::string(136, 'x')); }, "type: found IQ4_XS, expected one of F32"},
    Hostile{"TensorRowsCutAKBlock", [](W& w) { w.Tensor("t", 12, {128}, std::string(144, 'x')); }, "rows of 128 values are not whole q4_k blocks"},
    Hostile{"RowNotWholeBlocks", [](W& w) { w.Tensor("t", 2, {2, 48}, ""); }, "rows of 48 values are not whole q4_0 blocks"},
    Hostile{"TensorTwice", [](W& w) { w.Tensor("t", 0, {1}, "xxxx"); w.Tensor("t", 0, {1}, "xxxx"); }, "listed twice"},
    Hostile{"OffsetUnaligned", [](W& w) { w.Tensor("t", 0, {1}, "xxxx", 4); }, "expected a multiple of 32"},
    Hostile{"OffsetBehindTheFile", [](W& w) { w.Tensor("t", 0, {1}, "xxxx", 4096); }, "(truncated file?)"},
    Hostile{"OffsetHuge", [](W& w) { w.Tensor("t", 0, {1}, "xxxx", uint64_t{1} << 63); }, "offset: found"},
    Hostile{"DataCut", [](W& w) { w.Tensor("t", 0, {9}, "xxxx"); }, "(truncated file?)"},
    Hostile{"Overlap", [](W& w) { w.Tensor("t", 0, {16}, std::string(64, 'x')); w.Tensor("u", 0, {8}, std::string(32, 'x'), 32); }, "tensor u: overlaps tensor t"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Gguf, RefusesOtherMagic) {
  EXPECT_FALSE(Parse("GGML" + std::string(100, '\0')).ok());
  EXPECT_FALSE(Parse("").ok());
}

// Metadata that is well formed and means something that is not served.
class BadGgufModel : public testing::TestWithParam<Hostile> {};

TEST_P(BadGgufModel, IsRefusedWithItsReason) {
  GgufWriter writer = test::TinyLlamaMetadata();
  GetParam().change(writer);
  test::AddTinyLlamaTensors(writer);
  const auto header = Parse(writer.Bytes());
  ASSERT_TRUE(header.ok()) << header.status();
  const auto spec = SpecFromGguf(*header, {});
  const auto vocabulary = VocabularyFromGguf(*header);
  const absl::Status status = spec.ok() ? vocabulary.status() : spec.status();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(Message(status).find(GetParam().message), std::string::npos) << status;
}

INSTANTIATE_TEST_SUITE_P(All, BadGgufModel, testing::Values(
    Hostile{"UnknownKey", [](W& w) { w.F32("llama.attention.softcap", 50); }, "unknown meaning: llama.attention.softcap = 50"},
    Hostile{"RotatedPart", [](W& w) { w.U32("llama.rope.dimension_count", 8); }, "llama.rope.dimension_count: found 8, expected 16"},
    Hostile{"ValueLength", [](W& w) { w.U32("llama.attention.value_length", 8); }, "llama.attention.value_length: found 8"},
    Hostile{"ExpertsOfNone", [](W& w) { w.U32("llama.expert_count", 4); w.U32("llama.expert_used_count", 5); }, "metadata llama.expert_used_count: found 5"},
    Hostile{"RopeScaling", [](W& w) { w.Text("llama.rope.scaling.type", "longrope"); }, "longrope"},
    Hostile{"StopIdOutside", [](W& w) { w.U32("tokenizer.ggml.eos_token_id", 4); }, "eos_token_id: found [4]"},
    Hostile{"TypesTooFew", [](W& w) { w.Texts("tokenizer.ggml.tokens", {"a", "b"}); w.I32s("tokenizer.ggml.token_type", {1}); }, "token_type: found 1 entries, expected 2"},
    Hostile{"TypeSeven", [](W& w) { w.Texts("tokenizer.ggml.tokens", {"a"}); w.I32s("tokenizer.ggml.token_type", {7}); }, "token_type: found 7"},
    Hostile{"LongToken", [](W& w) { w.Texts("tokenizer.ggml.tokens", {std::string(4097, 'a')}); }, "tokens[0]: found 4097 bytes"},
    Hostile{"BosOutside", [](W& w) { w.Texts("tokenizer.ggml.tokens", {"a"}); w.U32("tokenizer.ggml.bos_token_id", 1); }, "bos_token_id: found 1"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(GgufModel, NamesTheArchitecture) {
  GgufWriter writer;
  writer.Text("general.architecture", "mamba");
  const auto header = Parse(writer.Bytes());
  ASSERT_TRUE(header.ok());
  const auto spec = SpecFromGguf(*header, {});
  ASSERT_FALSE(spec.ok());
  EXPECT_NE(Message(spec.status()).find("found \"mamba\""), std::string::npos) << spec.status();
}

TEST(GgufModel, TiedWithoutOutputAndDivisorsBecomeScaling) {
  GgufWriter writer = test::TinyLlamaMetadata();
  test::AddTinyLlamaTensors(writer);
  const auto header = Parse(writer.Bytes());
  const auto spec = SpecFromGguf(*header, {std::vector<float>(8, 2)});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->tied_embeddings);
  EXPECT_EQ(spec->kinds[0].attention.rope->scaling.kind, RopeScalingKind::kDivisors);
  EXPECT_FALSE(SpecFromGguf(*header, {std::vector<float>(7, 2)}).ok());
}

// Tiny metadata of another architecture; numbers stand for what every text model says.
GgufWriter MetadataOf(const std::string& architecture) {
  GgufWriter writer;
  writer.Text("general.architecture", architecture);
  const std::pair<const char*, uint32_t> numbers[] = {{"block_count", 2},          {"context_length", 64},     {"embedding_length", 32},
                                                      {"feed_forward_length", 48}, {"attention.head_count", 2}, {"attention.head_count_kv", 1}};
  for (const auto& [key, value] : numbers) writer.U32(architecture + "." + key, value);
  writer.Tensor("token_embd.weight", 0, {4, 32}, std::string(4 * 32 * 4, '\0'));
  return writer;
}

struct Foreign {
  const char* name;
  const char* architecture;
  void (*change)(GgufWriter& writer);
  const char* message;  // part of the error
};
class ForeignGguf : public testing::TestWithParam<Foreign> {};

TEST_P(ForeignGguf, IsRefusedWithItsReason) {
  GgufWriter writer = MetadataOf(GetParam().architecture);
  GetParam().change(writer);
  const auto header = Parse(writer.Bytes());
  ASSERT_TRUE(header.ok()) << header.status();
  const auto spec = SpecFromGguf(*header, {});
  ASSERT_FALSE(spec.ok());
  EXPECT_NE(Message(spec.status()).find(GetParam().message), std::string::npos) << spec.status();
}

void Routed(W& w, const std::string& architecture) {
  w.U32(architecture + ".expert_count", 4);
  w.U32(architecture + ".expert_used_count", 2);
}
INSTANTIATE_TEST_SUITE_P(All, ForeignGguf, testing::Values(
    Foreign{"FalconLayout", "falcon", [](W& w) { w.Text("falcon.tensor_data_layout", "other"); }, "falcon.tensor_data_layout: found \"other\""},
    Foreign{"GlmSoftmax", "glm4moe", [](W& w) { Routed(w, "glm4moe"); w.U32("glm4moe.expert_gating_func", 1); }, "expert_gating_func: found 1, expected 2"},
    Foreign{"DeepseekGating", "deepseek2", [](W& w) { Routed(w, "deepseek2"); w.U32("deepseek2.expert_gating_func", 3); }, "expert_gating_func: found 3, expected 1"},
    Foreign{"DeepseekWithoutExperts", "deepseek2", [](W&) {}, "which is not served"},
    Foreign{"DeepseekHeadBelowItsPart", "deepseek2",
            [](W& w) { Routed(w, "deepseek2"); w.U32("deepseek2.rope.dimension_count", 64); w.U32("deepseek2.attention.key_length_mla", 32); }, "qk_nope_head_dim: found -32"},
    Foreign{"DeepseekFarNumbers", "deepseek2",
            [](W& w) { Routed(w, "deepseek2"); w.Raw("deepseek2.rope.dimension_count", 11, Little(INT64_MIN)); w.U32("deepseek2.attention.key_length_mla", 32); },
            "qk_nope_head_dim: found"},
    Foreign{"GraniteUnknownKey", "granite", [](W& w) { w.F32("granite.router_logit_softcapping", 3); }, "unknown meaning: granite.router_logit_softcapping"},
    Foreign{"MptWithoutAlibi", "mpt", [](W& w) { w.F32("mpt.attention.max_alibi_bias", 0); }, "alibi: found false"},
    Foreign{"GlmAllLayersDrafts", "glm4moe", [](W& w) { Routed(w, "glm4moe"); w.U32("glm4moe.nextn_predict_layers", 2); }, "glm4moe.block_count: found 0"}),
    [](const auto& row) { return std::string(row.param.name); });

// What writers leave out: the size that scales the scores, which differs in the largest model; windows that a file does not name.
TEST(GgufModel, GemmaScalesScoresByTheModel) {
  GgufWriter writer = MetadataOf("gemma3");
  writer.U32("gemma3.attention.key_length", 24);
  const auto header = Parse(writer.Bytes());
  const auto spec = SpecFromGguf(*header, {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_DOUBLE_EQ(spec->kinds[0].attention.scale, 1 / std::sqrt(24.0));
  EXPECT_EQ(spec->kinds.size(), 1u);
  EXPECT_FALSE(spec->kinds[0].attention.window.has_value());
}

}  // namespace
}  // namespace drover
