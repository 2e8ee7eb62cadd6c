// Safetensors headers: what is read, and hostile ones, each refused with its own reason before anything is allocated by it.
#include <gtest/gtest.h>

#include <limits>

#include "models/checkpoint/safetensors_header.h"
#include "tests/models/model_files.h"

namespace drover {
namespace {

using test::SafetensorsBytes;

absl::StatusOr<std::vector<TensorInfo>> Parse(const std::string& file) {
  return ParseSafetensors(file, static_cast<int64_t>(file.size()));
}

TEST(Safetensors, PlacesTensorsBehindTheHeader) {
  const std::string header =
      R"(  {"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  const auto tensors = Parse(SafetensorsBytes(header, std::string(16, 'x')));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_TRUE((*tensors)[0].shape.empty());
  EXPECT_EQ((*tensors)[1].offset, static_cast<int64_t>(8 + header.size() + 4));
  EXPECT_EQ((*tensors)[1].bytes, 12);
  EXPECT_EQ((*tensors)[1].dtype, DType::kBF16);
}

TEST(Safetensors, AcceptsTensorsOfNoBytes) {
  const auto tensors = Parse(SafetensorsBytes(R"({"a":{"dtype":"F32","shape":[0,7],"data_offsets":[0,0]}})", ""));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ((*tensors)[0].bytes, 0);
}

TEST(Safetensors, AsksForMoreOfALongHeader) {
  const std::string file = SafetensorsBytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234");
  EXPECT_EQ(ParseSafetensors(file.substr(0, 20), static_cast<int64_t>(file.size())).status().code(), absl::StatusCode::kOutOfRange);
}

struct Hostile {
  const char* name;
  std::string file;
  const char* message;  // part of the error
};

class HostileSafetensors : public testing::TestWithParam<Hostile> {};

TEST_P(HostileSafetensors, IsRefusedWithItsReason) {
  const auto tensors = Parse(GetParam().file);
  ASSERT_FALSE(tensors.ok());
  EXPECT_NE(Message(tensors.status()).find(GetParam().message), std::string::npos) << tensors.status();
  EXPECT_EQ(Message(tensors.status()).find('\n'), std::string::npos);
}

std::string One(const std::string& fields, size_t bytes = 4) { return SafetensorsBytes(R"({"a":{)" + fields + "}}", std::string(bytes, 'x')); }
std::string Two(const std::string& first, const std::string& second, size_t bytes) {
  return SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" +
                              second + "}}", std::string(bytes, 'x'));
}
std::string Length(uint64_t length, const std::string& rest) { return test::Little(length) + rest; }
std::string ManyMetadata() {
  std::string header = R"({"__metadata__":{)";
  for (int i = 0; i < 1001; ++i) header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":\"\"";
  return SafetensorsBytes(header + "}}", "");
}

INSTANTIATE_TEST_SUITE_P(All, HostileSafetensors, testing::Values(
    Hostile{"EmptyFile", "", "too short"},
    Hostile{"NineBytes", Length(1, "{"), "too short"},
    Hostile{"LengthZero", Length(0, "{}"), "header length: found 0"},
    Hostile{"LengthBehindTheFile", Length(100, "{}"), "header length: found 100, but the file has 10"},
    Hostile{"LengthHuge", Length(std::numeric_limits<uint64_t>::max(), "{}"), "header length: found 18446744073709551615"},
    Hostile{"LengthAboveTheCap", Length((16 << 20) + 1, "{}"), "header length"},
    Hostile{"NotAnObject", SafetensorsBytes("[]", ""), "expected a JSON object"},
    Hostile{"OnlySpaces", SafetensorsBytes("    ", ""), "expected a JSON object"},
    Hostile{"CutInTheMiddle", SafetensorsBytes(R"({"a":{"dtype":"F32")", ""), "not valid JSON at byte"},
    Hostile{"TrailingGarbage", SafetensorsBytes("{} x", ""), "not valid JSON at byte"},
    Hostile{"InvalidUtf8", SafetensorsBytes("{\"\xff\":{}}", ""), "not valid JSON at byte"},
    Hostile{"DuplicateTensor", SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""), "duplicate key \"a\""},
    Hostile{"DuplicateField", One(R"("dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4])"), "duplicate key \"dtype\""},
    Hostile{"UnknownField", One(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1])"), "unknown key \"strides\""},
    Hostile{"UnknownDtype", One(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"), "dtype: found \"F31\""},
    Hostile{"DtypeIsANumber", One(R"("dtype":4,"shape":[1],"data_offsets":[0,4])"), "unexpected a number"},
    Hostile{"NoDtype", One(R"("shape":[1],"data_offsets":[0,4])"), "dtype is missing"},
    Hostile{"NoShape", One(R"("dtype":"F32","data_offsets":[0,4])"), "shape is missing"},
    Hostile{"NoOffsets", One(R"("dtype":"F32","shape":[1])"), "data_offsets: found 0 numbers"},
    Hostile{"OneOffset", One(R"("dtype":"F32","shape":[1],"data_offsets":[4])"), "data_offsets: found 1 numbers"},
    Hostile{"ThreeOffsets", One(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,4])"), "more than 2 numbers"},
    Hostile{"NegativeSize", One(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "found -1, expected an unsigned integer"},
    Hostile{"FractionalSize", One(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), "found 1.0, expected an unsigned integer"},
    Hostile{"ExponentSize", One(R"("dtype":"F32","shape":[1e0],"data_offsets":[0,4])"), "found 1e0, expected an unsigned integer"},
    Hostile{"HugeSize", One(R"("dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4])"), "expected at most 2^53"},
    Hostile{"NestedShape", One(R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])"), "unexpected a list"},
    Hostile{"ObjectInShape", One(R"("dtype":"F32","shape":[{}],"data_offsets":[0,4])"), "unexpected an object"},
    Hostile{"NineDimensions", One(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])"), "more than 8 numbers"},
    Hostile{"ShapeOverflows", One(R"("dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4])"), "shape overflows"},
    Hostile{"BytesOverflow", One(R"("dtype":"F64","shape":[4294967296,2147483647],"data_offsets":[0,4])"), "overflow"},
    Hostile{"BytesAgainstShape", One(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "found 4 bytes, expected 8"},
    Hostile{"EndBeforeBegin", One(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])"), "found 4 after 0"},
    Hostile{"TensorIsAString", SafetensorsBytes(R"({"a":"b"})", ""), "unexpected a string"},
    Hostile{"TensorIsNull", SafetensorsBytes(R"({"a":null})", ""), "unexpected null"},
    Hostile{"TensorIsTrue", SafetensorsBytes(R"({"a":true})", ""), "unexpected a boolean"},
    Hostile{"EmptyName", SafetensorsBytes(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""), "tensor name of 0 bytes"},
    Hostile{"LongName", SafetensorsBytes("{\"" + std::string(513, 'n') + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""), "tensor name of 513 bytes"},
    Hostile{"ControlInName", SafetensorsBytes(R"({"a\nb":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""), "holds a control character"},
    Hostile{"MetadataNotStrings", SafetensorsBytes(R"({"__metadata__":{"a":1}})", ""), "__metadata__: unexpected a number"},
    Hostile{"MetadataNested", SafetensorsBytes(R"({"__metadata__":{"a":{}}})", ""), "__metadata__: unexpected an object"},
    Hostile{"MetadataTooMany", ManyMetadata(), "more than 1000 entries"},
    Hostile{"MetadataTooLong", SafetensorsBytes(R"({"__metadata__":{"a":")" + std::string(1 << 20, 'x') + "\"}}", ""), "larger than 1048576 bytes"},
    Hostile{"Overlap", Two("[0,4]", "[2,6]", 6), "(tensors overlap)"},
    Hostile{"SameBytes", Two("[0,4]", "[0,4]", 4), "(tensors overlap)"},
    Hostile{"Hole", Two("[0,4]", "[5,9]", 9), "(bytes between tensors)"},
    Hostile{"HoleAtTheStart", One(R"("dtype":"U8","shape":[4],"data_offsets":[1,5])", 5), "(bytes between tensors)"},
    Hostile{"TruncatedFile", Two("[0,4]", "[4,8]", 7), "(truncated file?)"},
    Hostile{"BytesBehindTheLast", Two("[0,4]", "[4,8]", 9), "data: found 9 bytes, expected 8"},
    Hostile{"DeepNesting", SafetensorsBytes("{\"a\":" + std::string(100'000, '['), ""), "unexpected a list"}),
    [](const auto& row) { return std::string(row.param.name); });

TEST(Safetensors, RefusesTooManyTensors) {
  std::string header = "{";
  for (int i = 0; i < 11; ++i)
    header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  const std::string file = SafetensorsBytes(header + "}", "");
  EXPECT_FALSE(ParseSafetensors(file, static_cast<int64_t>(file.size()), {.tensors = 10}).ok());
  EXPECT_TRUE(ParseSafetensors(file, static_cast<int64_t>(file.size()), {.tensors = 11}).ok());
}

}  // namespace
}  // namespace drover
