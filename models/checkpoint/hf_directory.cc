// A directory of safetensors: config.json or Mistral's params.json, generation_config.json's stop ids, one file or shards with an index.
#include <algorithm>
#include <filesystem>
#include <set>

#include "common/file.h"
#include "common/json.h"
#include "models/checkpoint/hf_index.h"
#include "models/checkpoint/safetensors_header.h"
#include "models/checkpoint/sources.h"
#include "models/registry.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr JsonLimits kConfigLimits{.bytes = 4 << 20, .depth = 32, .elements = 20'000};

// How a directory calls its config, and its weights before ".safetensors".
struct Layout {
  std::string_view config, weights;
};
constexpr Layout kHuggingFace{"config.json", "model"}, kMistral{"params.json", "consolidated"};

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string Join(const std::string& directory, std::string_view name) { return (fs::path(directory) / name).string(); }

// The real list of stop ids stands in generation_config.json when there is one.
absl::Status ReadEndIds(const std::string& directory, ModelSpec& spec) {
  const std::string path = Join(directory, "generation_config.json");
  if (!Exists(path)) return absl::OkStatus();
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadJsonFile(path, kConfigLimits));
  if (!config.is_object()) return InvalidArgument(path, ": expected a JSON object");
  const auto it = config.find("eos_token_id");
  if (it == config.end() || it->is_null()) return absl::OkStatus();
  const Json list = it->is_array() ? *it : Json::array({*it});
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(spec.vocab))
      return InvalidArgument(path, ": eos_token_id: expected ids below ", spec.vocab);
    ids.push_back(id.get<int32_t>());
  }
  spec.end_ids = ids;
  return absl::OkStatus();
}

absl::Status AddFile(const std::string& path, Checkpoint& checkpoint) {
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(path));
  DROVER_ASSIGN_OR_RETURN(std::vector<TensorInfo> tensors, ReadSafetensorsHeader(file));
  for (TensorInfo& tensor : tensors) {
    tensor.file = static_cast<int32_t>(checkpoint.files.size());
    const std::string name = tensor.name;
    if (!checkpoint.tensors.emplace(name, std::move(tensor)).second)
      return InvalidArgument(path, ": tensor ", name, " is in another shard too");
  }
  checkpoint.files.push_back(path);
  checkpoint.file_bytes += file.size();
  checkpoint.stamps.push_back(file.Stamp());
  return absl::OkStatus();
}

// "STEM-00001-of-00003.safetensors": a file that calls itself a shard.
bool LooksLikeShard(const std::string& name, const std::string& stem) {
  return name.starts_with(stem + "-") && name.find("-of-") != std::string::npos && name.ends_with(".safetensors");
}

bool HasWeights(const std::string& directory, const Layout& layout) {
  const std::string single = Join(directory, Cat(layout.weights, ".safetensors"));
  return Exists(single) || Exists(single + ".index.json");
}

// Directories that hold both kinds of config are read as Hugging Face's unless only the other kind's weights are there.
const Layout& LayoutOf(const std::string& directory) {
  if (!Exists(Join(directory, kMistral.config))) return kHuggingFace;
  if (!Exists(Join(directory, kHuggingFace.config))) return kMistral;
  return HasWeights(directory, kMistral) && !HasWeights(directory, kHuggingFace) ? kMistral : kHuggingFace;
}

absl::Status CheckUnlisted(const std::string& directory, const std::set<std::string>& shards) {
  const std::string first = *shards.begin();
  const std::string stem = first.substr(0, first.find('-'));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (LooksLikeShard(name, stem) && !shards.contains(name))
      return InvalidArgument(Join(directory, name), ": a shard that the index does not list");
  }
  return absl::OkStatus();
}

absl::Status CheckAgainstIndex(const std::string& path, const ShardIndex& index, const Checkpoint& checkpoint) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const auto it = index.file_of.find(name);
    const std::string file = fs::path(checkpoint.files[static_cast<size_t>(tensor.file)]).filename().string();
    if (it == index.file_of.end()) return InvalidArgument(path, ": tensor ", name, " of ", file, " is not in the weight_map");
    if (it->second != file) return InvalidArgument(path, ": tensor ", name, ": found in ", file, ", expected in ", it->second);
    bytes += tensor.bytes;
  }
  for (const auto& [name, file] : index.file_of)
    if (!checkpoint.tensors.contains(name)) return InvalidArgument(path, ": tensor ", name, ": not found in ", file);
  if (index.total_bytes && *index.total_bytes != bytes)
    return InvalidArgument(path, ": metadata.total_size: found ", *index.total_bytes, ", expected ", bytes, " from the shards");
  return absl::OkStatus();
}

absl::Status AddShards(const std::string& directory, const std::string& index_path, Checkpoint& checkpoint) {
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadFile(index_path, 32 << 20));
  const absl::StatusOr<ShardIndex> index = ParseShardIndex(text);
  if (!index.ok()) return Annotate(index.status(), index_path);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : index->file_of) shards.insert(file);
  for (const std::string& shard : shards) {
    if (!Exists(Join(directory, shard))) return NotFound(Join(directory, shard), ": shard is missing, ", index_path, " lists it");
    DROVER_RETURN_IF_ERROR(AddFile(Join(directory, shard), checkpoint));
  }
  DROVER_RETURN_IF_ERROR(CheckUnlisted(directory, shards));
  return CheckAgainstIndex(index_path, *index, checkpoint);
}

// Files of pickled objects run code when they are opened; they are not read.
bool HasPickledWeights(const std::string& directory) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
    if (name == "pytorch_model.bin.index.json" || kind == ".pth" || kind == ".pt" || kind == ".ckpt") return true;
    if (kind == ".bin" && (name.starts_with("pytorch_model") || name.starts_with("model"))) return true;
  }
  return false;
}

absl::Status PickledWeights(const std::string& directory) {
  return InvalidArgument(
      directory, ": found pickled weights (.bin, .pt), which can run code when they are opened; expected safetensors files. ",
      "Convert them where you trust them: python3 -c \"import transformers as t; m = t.AutoModelForCausalLM.from_pretrained('", directory,
      "', dtype='auto'); m.save_pretrained('", directory, "', safe_serialization=True)\"");
}

}  // namespace

absl::StatusOr<Checkpoint> OpenHfDirectory(const std::string& directory) {
  Checkpoint checkpoint;
  checkpoint.path = directory;
  const Layout& layout = LayoutOf(directory);
  const std::string config_path = Join(directory, layout.config);
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadJsonFile(config_path, kConfigLimits));
  absl::StatusOr<ModelSpec> spec = SpecFromConfig(config);
  if (!spec.ok()) return Annotate(spec.status(), config_path);
  checkpoint.spec = *std::move(spec);
  DROVER_ASSIGN_OR_RETURN(checkpoint.quantization, ReadQuantization(config));
  DROVER_RETURN_IF_ERROR(ReadEndIds(directory, checkpoint.spec));
  const std::string single = Join(directory, Cat(layout.weights, ".safetensors")), index = single + ".index.json";
  if (Exists(index)) {
    DROVER_RETURN_IF_ERROR(AddShards(directory, index, checkpoint));
  } else if (Exists(single)) {
    DROVER_RETURN_IF_ERROR(AddFile(single, checkpoint));
  } else {
    if (HasPickledWeights(directory)) return PickledWeights(directory);
    return checkpoint;
  }
  checkpoint.form = CheckpointForm::kSafetensors;
  return checkpoint;
}

}  // namespace drover
