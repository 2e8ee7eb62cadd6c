// See checkpoint.h: which kind of checkpoint a path is, and the check that the tensors fit the spec.
#include "models/checkpoint/checkpoint.h"

#include <filesystem>

#include "common/file.h"
#include "models/checkpoint/sources.h"
#include "models/registry.h"
#include "models/weights.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

// "dir/" and "." have their directory's name, "dir/config.json" too, files their stem.
std::string ShortName(const std::string& path) {
  std::error_code error;
  fs::path full = fs::weakly_canonical(fs::absolute(path, error), error);
  if (full.filename() == "config.json" || full.filename() == "params.json") full = full.parent_path();
  if (full.filename().empty()) full = full.parent_path();
  std::string name = full.filename().string();
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? "model" : name;
}

absl::StatusOr<Checkpoint> OpenConfig(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadJsonFile(path, {.bytes = 4 << 20, .elements = 20'000}));
  absl::StatusOr<ModelSpec> spec = SpecFromConfig(config);
  if (!spec.ok()) return Annotate(spec.status(), path);
  Checkpoint checkpoint;
  checkpoint.path = path;
  checkpoint.spec = *std::move(spec);
  DROVER_ASSIGN_OR_RETURN(checkpoint.quantization, ReadQuantization(config));
  return checkpoint;
}

// A directory without a config may hold one .gguf file, or one in parts.
absl::StatusOr<Checkpoint> OpenDirectory(const std::string& path) {
  std::error_code error;
  for (const char* config : {"config.json", "params.json"})
    if (fs::exists(fs::path(path) / config, error)) return OpenHfDirectory(path);
  std::vector<std::string> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (entry.path().extension() == ".gguf") found.push_back(entry.path().string());
  const auto later_part = [](const std::string& name) { return name.find("-of-") != name.npos && name.find("-00001-of-") == name.npos; };
  std::erase_if(found, later_part);
  if (found.size() == 1) return OpenGgufFile(found[0]);
  return NotFound(path, ": found ", found.size(), " .gguf files and no config.json, expected config.json or one .gguf file");
}

absl::StatusOr<Checkpoint> OpenAny(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return NotFound(path, ": no such file or directory");
  if (fs::is_directory(status)) return OpenDirectory(path);
  if (path.ends_with(".json")) return OpenConfig(path);
  if (path.ends_with(".gguf")) return OpenGgufFile(path);
  return InvalidArgument(path, ": expected a model directory, a config.json or a .gguf file");
}

}  // namespace

std::string Checkpoint::Folder() const {
  if (form == CheckpointForm::kGguf) return "";
  if (!path.ends_with(".json")) return path;
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(Checkpoint checkpoint, OpenAny(path));
  checkpoint.path = path;
  checkpoint.name = ShortName(path);
  if (checkpoint.form != CheckpointForm::kConfigOnly) DROVER_RETURN_IF_ERROR(CheckTensors(checkpoint));
  return checkpoint;
}

}  // namespace drover
