// See storage_facts.h.
#include "cli/inspect/storage_facts.h"

#include <algorithm>
#include <filesystem>

#include "common/file.h"
#include "models/checkpoint/gguf_header.h"
#include "models/checkpoint/safetensors_header.h"
#include "models/weights.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFilesMax = 2000;

void Count(const TensorInfo& tensor, std::map<std::string, StoredType>& types) {
  StoredType& type = types[std::string(Name(tensor.dtype))];
  int64_t values = 1;
  for (const int64_t size : tensor.shape) values *= size;
  ++type.tensors;
  type.values += values;
  type.bytes += tensor.bytes;
}

// Whether groups of this many inputs are the config's own, not rows of that length.
bool NamesGroups(const std::optional<Quantization>& quantization, int64_t cols) {
  return quantization && std::ranges::any_of(quantization->schemes, [&](const WeightScheme& scheme) {
           return scheme.shape == ScaleShape::kGroup && scheme.group_cols == cols;
         });
}

std::string FormText(const Weight& weight, const StorageForm& form, const std::optional<Quantization>& quantization) {
  if (weight.vector()) return "vectors in f32";
  std::string text(Name(form.codes));
  if (form.grouped()) {
    const bool row = form.group_cols >= weight.cols && !NamesGroups(quantization, form.group_cols);
    if (row && form.group_rows >= weight.rows && weight.rows > 1) text += ", a scale a matrix";
    else if (row && form.group_rows == 1) text += ", a scale a row";
    else if (form.group_rows == 1) text += Cat(" in groups of ", form.group_cols);
    else text += Cat(" in ", form.group_rows, "x", form.group_cols, " blocks");
  }
  if (form.zeros) text += ", zero points";
  if (form.ordered) text += ", act-order";
  return text;
}

std::vector<HeldForm> HeldForms(const Checkpoint& checkpoint) {
  std::map<std::string, HeldForm> forms;
  for (const Weight& weight : WeightTable(checkpoint.spec)) {
    const StorageForm form = weight.vector() ? StorageForm{} : FormOf(weight, checkpoint);
    const std::string text = FormText(weight, form, checkpoint.quantization);
    HeldForm& held = forms.try_emplace(text, HeldForm{.form = text}).first->second;
    ++held.weights;
    held.values += weight.rows * weight.cols;
    held.bytes += PartBytes(weight, {{0, weight.rows}, {0, weight.cols}}, form);
  }
  std::vector<HeldForm> out;
  for (auto& [text, held] : forms) out.push_back(std::move(held));
  std::ranges::stable_sort(out, [](const HeldForm& a, const HeldForm& b) { return a.bytes > b.bytes; });
  return out;
}

bool IsWeightFile(const std::string& name) {
  return name.ends_with(".safetensors") && (name.starts_with("model") || name.starts_with("consolidated"));
}

void CountFile(const std::string& path, StorageFacts& out) {
  const absl::StatusOr<File> file = File::Open(path);
  if (!file.ok()) return;
  ++out.files;
  out.file_bytes += file->size();
  std::vector<TensorInfo> tensors;
  if (out.container == "gguf") {
    if (absl::StatusOr<GgufHeader> header = ReadGgufHeader(*file); header.ok()) tensors = std::move(header->tensors);
  } else if (absl::StatusOr<std::vector<TensorInfo>> header = ReadSafetensorsHeader(*file); header.ok()) {
    tensors = *std::move(header);
  }
  for (const TensorInfo& tensor : tensors) Count(tensor, out.types);
}

}  // namespace

StorageFacts StorageOf(const Checkpoint& checkpoint) {
  constexpr const char* kContainers[] = {"config only", "safetensors", "gguf"};
  StorageFacts out;
  out.container = kContainers[static_cast<size_t>(checkpoint.form)];
  if (checkpoint.quantization) out.method = checkpoint.quantization->method;
  out.files = static_cast<int64_t>(checkpoint.files.size());
  out.file_bytes = checkpoint.file_bytes;
  for (const auto& [name, tensor] : checkpoint.tensors) Count(tensor, out.types);
  out.held = HeldForms(checkpoint);
  return out;
}

StorageFacts StorageOfFiles(const std::string& path) {
  StorageFacts out;
  out.container = path.ends_with(".gguf") ? "gguf" : "safetensors";
  std::vector<std::string> files;
  std::error_code error;
  if (out.container == "gguf") files = {path};
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (IsWeightFile(entry.path().filename().string()) && files.size() < kFilesMax) files.push_back(entry.path().string());
  std::ranges::sort(files);
  for (const std::string& file : files) CountFile(file, out);
  if (out.files == 0) out.container = "config only";
  return out;
}

}  // namespace drover
