// Small model files made in the test itself: safetensors and GGUF bytes, temporary directories, golden cases where they are.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::test {

// A fresh directory under the system's temporary one, removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string Path(std::string_view name) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void WriteFile(const std::string& path, std::string_view bytes);

struct TestTensor {
  std::string name;
  std::string dtype;  // as in the header, e.g. "F32"
  std::vector<int64_t> shape;
  std::string bytes;
};

// 8 bytes of length, the header text as it is, the data.
std::string SafetensorsBytes(std::string_view header, std::string_view data);
// Tensors one after another.
std::string SafetensorsBytes(const std::vector<TestTensor>& tensors);

// Writes the parts of a GGUF file as told; nothing is checked, so that broken files can be made.
class GgufWriter {
 public:
  uint32_t version = 3;
  int64_t alignment = 32;
  std::optional<uint64_t> tensor_count, metadata_count;  // instead of the true ones

  void U32(std::string_view key, uint32_t value);
  void F32(std::string_view key, float value);
  void Bool(std::string_view key, uint8_t value);
  void Text(std::string_view key, std::string_view value);
  void Texts(std::string_view key, const std::vector<std::string>& values);
  void I32s(std::string_view key, const std::vector<int32_t>& values);
  void Raw(std::string_view key, uint32_t type, std::string_view bytes);
  // Shape outermost first; `type` is ggml's number; offset by position unless given.
  void Tensor(std::string_view name, uint32_t type, std::vector<int64_t> shape, std::string_view bytes,
              std::optional<uint64_t> offset = std::nullopt);
  std::string Bytes() const;

 private:
  std::string metadata_, infos_, data_;
  uint64_t metadata_written_ = 0, tensors_written_ = 0;
};

template <class T>
std::string Little(T value) {
  std::string bytes(sizeof value, 0);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Metadata of a 2-layer llama model (hidden 32, 2/1 heads of 16, feed-forward 64, vocabulary 4) and its tensors in F32 zeros.
GgufWriter TinyLlamaMetadata();
void AddTinyLlamaTensors(GgufWriter& writer);

// The directory of a golden case: in the repository's testdata, else in the shared corpus; nothing when it is in neither.
std::optional<std::string> GoldenCase(std::string_view name);

}  // namespace drover::test
