// See model_files.h.
#include "tests/models/model_files.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "common/check.h"

namespace drover::test {
namespace {

namespace fs = std::filesystem;

enum GgufType : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9 };

std::string LengthAndText(std::string_view text) { return Little<uint64_t>(text.size()) + std::string(text); }

void Pad(std::string& bytes, int64_t alignment) {
  while (static_cast<int64_t>(bytes.size()) % alignment != 0) bytes.push_back('\0');
}

}  // namespace

TempDir::TempDir() {
  std::string path = (fs::temp_directory_path() / "drover-test-XXXXXX").string();
  DROVER_CHECK(mkdtemp(path.data()) != nullptr);
  path_ = path;
}

TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

std::string TempDir::Path(std::string_view name) const { return (fs::path(path_) / name).string(); }

void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  DROVER_CHECK(out.good());
}

std::string SafetensorsBytes(std::string_view header, std::string_view data) {
  return LengthAndText(header) + std::string(data);
}

std::string SafetensorsBytes(const std::vector<TestTensor>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::string data;
  for (const TestTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return SafetensorsBytes(header.dump(), data);
}

void GgufWriter::Raw(std::string_view key, uint32_t type, std::string_view bytes) {
  metadata_ += LengthAndText(key) + Little(type) + std::string(bytes);
  ++metadata_written_;
}
void GgufWriter::U32(std::string_view key, uint32_t value) { Raw(key, kU32, Little(value)); }
void GgufWriter::F32(std::string_view key, float value) { Raw(key, kF32, Little(value)); }
void GgufWriter::Bool(std::string_view key, uint8_t value) { Raw(key, kBool, Little(value)); }
void GgufWriter::Text(std::string_view key, std::string_view value) { Raw(key, kString, LengthAndText(value)); }

void GgufWriter::Texts(std::string_view key, const std::vector<std::string>& values) {
  std::string bytes = Little<uint32_t>(kString) + Little<uint64_t>(values.size());
  for (const std::string& value : values) bytes += LengthAndText(value);
  Raw(key, kArray, bytes);
}

void GgufWriter::I32s(std::string_view key, const std::vector<int32_t>& values) {
  std::string bytes = Little<uint32_t>(kI32) + Little<uint64_t>(values.size());
  for (const int32_t value : values) bytes += Little(value);
  Raw(key, kArray, bytes);
}

void GgufWriter::Tensor(std::string_view name, uint32_t type, std::vector<int64_t> shape, std::string_view bytes,
                        std::optional<uint64_t> offset) {
  infos_ += LengthAndText(name) + Little(static_cast<uint32_t>(shape.size()));
  for (size_t i = shape.size(); i-- > 0;) infos_ += Little(static_cast<uint64_t>(shape[i]));
  Pad(data_, alignment);
  infos_ += Little(type) + Little(offset.value_or(data_.size()));
  data_ += bytes;
  ++tensors_written_;
}

std::string GgufWriter::Bytes() const {
  std::string out = "GGUF" + Little(version) + Little(tensor_count.value_or(tensors_written_)) +
                    Little(metadata_count.value_or(metadata_written_)) + metadata_ + infos_;
  Pad(out, alignment);
  return out + data_;
}

GgufWriter TinyLlamaMetadata() {
  GgufWriter writer;
  writer.Text("general.architecture", "llama");
  writer.U32("llama.block_count", 2);
  writer.U32("llama.context_length", 64);
  writer.U32("llama.embedding_length", 32);
  writer.U32("llama.feed_forward_length", 64);
  writer.U32("llama.attention.head_count", 2);
  writer.U32("llama.attention.head_count_kv", 1);
  writer.F32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return writer;
}

void AddTinyLlamaTensors(GgufWriter& writer) {
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    int64_t values = 1;
    for (const int64_t size : shape) values *= size;
    writer.Tensor(name, 0, std::move(shape), std::string(static_cast<size_t>(values * 4), '\0'));
  };
  add("token_embd.weight", {4, 32});
  add("output_norm.weight", {32});
  for (int layer = 0; layer < 2; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    add(block + "attn_norm.weight", {32});
    add(block + "ffn_norm.weight", {32});
    add(block + "attn_q.weight", {32, 32});
    add(block + "attn_k.weight", {16, 32});
    add(block + "attn_v.weight", {16, 32});
    add(block + "attn_output.weight", {32, 32});
    add(block + "ffn_gate.weight", {64, 32});
    add(block + "ffn_up.weight", {64, 32});
    add(block + "ffn_down.weight", {32, 64});
  }
}

std::optional<std::string> GoldenCase(std::string_view name) {
  for (const std::string& root : {std::string(DROVER_SOURCE_DIR "/tests/testdata/golden/"), std::string(DROVER_SHARED_DIR "/golden/")}) {
    const std::string path = root + std::string(name);
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  return std::nullopt;
}

}  // namespace drover::test
