// See inspection.h.
#include "cli/inspect/inspection.h"

#include <filesystem>

#include "cli/inspect/left_out.h"
#include "common/file.h"
#include "common/json.h"
#include "coordinator/generation_config.h"
#include "models/checkpoint/gguf_header.h"
#include "models/checkpoint/gguf_spec.h"
#include "models/checkpoint/text.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr JsonLimits kLimits{.bytes = 4 << 20, .depth = 32, .elements = 20'000};
constexpr size_t kNameBytes = 120;

// Where the parts of a model lie: a config with its folder, or a GGUF file.
struct Place {
  std::string folder, config, gguf;  // folder: empty when a .gguf file was named itself
};

Place PlaceOf(const std::string& path) {
  std::error_code error;
  Place place;
  if (path.ends_with(".gguf") && !fs::is_directory(path, error)) return {.folder = {}, .config = {}, .gguf = path};
  const bool file = path.ends_with(".json") && !fs::is_directory(path, error);
  place.folder = file ? fs::path(path).parent_path().string() : path;
  if (place.folder.empty()) place.folder.push_back('.');
  if (file) place.config = path;
  for (const char* name : {"config.json", "params.json"})
    if (place.config.empty() && fs::exists(fs::path(path) / name, error)) place.config = (fs::path(path) / name).string();
  if (!place.config.empty()) return place;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error))
    if (entry.path().extension() == ".gguf" && (place.gguf.empty() || entry.path().string() < place.gguf))
      place.gguf = entry.path().string();  // of several parts the first tells about the model
  return place;
}

// The name as the file system has it, links and dots resolved.
std::string FullName(const std::string& path) {
  std::error_code error;
  fs::path full = fs::weakly_canonical(fs::absolute(path, error), error);
  if (full.filename().empty() || full.filename() == "config.json" || full.filename() == "params.json") full = full.parent_path();
  return Printable(full.filename().string(), kNameBytes);
}

std::string TextOf(const Json& config, const char* key) {
  const bool text = config.is_object() && config.contains(key) && config[key].is_string();
  return text ? Printable(config[key].get_ref<const std::string&>(), kNameBytes) : "";
}

std::string TextOf(const GgufHeader& header, const char* key) {
  const auto found = header.metadata.find(key);
  const auto* text = found == header.metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text == nullptr ? "" : Printable(*text, kNameBytes);
}

// Messages begin with the file; who inspects it has just named it.
std::string WithoutPath(std::string message, const Place& place) {
  for (const std::string& path : {place.config, place.gguf, place.folder})
    if (!path.empty() && message.starts_with(path + ": ")) return message.substr(path.size() + 2);
  return message;
}

void AddUnlessEmpty(std::string_view where, const std::string& says, std::vector<Statement>& list) {
  if (!says.empty()) list.push_back({std::string(where), says});
}

std::vector<int32_t> EndIds(const Inspection& out) { return out.checkpoint ? out.checkpoint->spec.end_ids : std::vector<int32_t>(); }

void ReadConfig(const Json& config, Inspection& out, StatedLicense& stated) {
  if (config.is_object() && config.contains("architectures") && config["architectures"].is_array() && !config["architectures"].empty() &&
      config["architectures"][0].is_string())
    out.architecture = Printable(config["architectures"][0].get_ref<const std::string&>(), kNameBytes);
  const Json& text = config.is_object() && config.contains("text_config") ? config["text_config"] : config;
  for (const Json* from : {&config, &text})
    for (const char* key : {"dtype", "torch_dtype"})
      if (out.storage.named_type.empty()) out.storage.named_type = TextOf(*from, key);
  AddUnlessEmpty("config.json, _name_or_path", TextOf(config, "_name_or_path"), stated.names);
}

absl::Status DescribeGguf(const Place& place, Inspection& out, StatedLicense& stated) {
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(place.gguf));
  DROVER_ASSIGN_OR_RETURN(const GgufHeader header, ReadGgufHeader(file));
  out.architecture = TextOf(header, "general.architecture");
  AddUnlessEmpty("GGUF metadata, general.license", TextOf(header, "general.license"), stated.tags);
  for (const char* key : {"general.name", "general.basename", "general.base_model.0.name"})
    AddUnlessEmpty(Cat("GGUF metadata, ", key), TextOf(header, key), stated.names);
  const absl::StatusOr<std::optional<Vocabulary>> vocabulary = VocabularyFromGguf(header);
  if (vocabulary.ok()) out.text = ReadTextFacts(*vocabulary, EndIds(out));
  else out.text.error = Message(vocabulary.status());
  return absl::OkStatus();
}

absl::Status DescribeDirectory(const Place& place, Inspection& out, StatedLicense& stated) {
  DROVER_ASSIGN_OR_RETURN(const Json config, ReadJsonFile(place.config, kLimits));
  ReadConfig(config, out, stated);
  out.text = ReadTextFacts(place.folder, EndIds(out));
  const std::string path = (fs::path(place.folder) / "generation_config.json").string();
  const absl::StatusOr<Json> generation = ReadJsonFile(path, kLimits);
  GenerationDefaults defaults;
  if (generation.ok()) {
    absl::StatusOr<GenerationDefaults> read = ReadGenerationDefaults(*generation);
    if (read.ok()) defaults = *std::move(read);
    else if (out.refusal.empty()) out.refusal = Cat("generation_config.json: ", Message(read.status()));
  }
  if (out.checkpoint) out.left_out = LeftOut(*out.checkpoint, config, defaults.not_applied);
  return absl::OkStatus();
}

void ReadLicense(const Place& place, const LicenseFacts& facts, StatedLicense stated, Inspection& out) {
  if (!place.folder.empty()) {
    StatedLicense files = ReadStatements(place.folder);
    for (auto part : {&StatedLicense::tags, &StatedLicense::texts, &StatedLicense::names})
      (stated.*part).insert((stated.*part).begin(), (files.*part).begin(), (files.*part).end());
  }
  AddUnlessEmpty(place.folder.empty() ? "name of the file" : "name of the folder", FullName(out.path), stated.names);
  out.license = FindLicense(facts, std::move(stated));
}

}  // namespace

absl::StatusOr<Inspection> InspectModel(const std::string& path, const LicenseFacts& facts) {
  Inspection out;
  out.path = path;
  Place place = PlaceOf(path);
  absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(path);
  if (checkpoint.ok() && checkpoint->form == CheckpointForm::kGguf) place.gguf = checkpoint->files.front();
  if (place.config.empty() && place.gguf.empty()) return checkpoint.status();
  out.name = checkpoint.ok() ? checkpoint->name : FullName(path);
  const absl::Status opened = checkpoint.status();
  out.refusal = WithoutPath(Message(opened), place);
  if (checkpoint.ok()) out.checkpoint = *std::move(checkpoint);
  out.storage = out.checkpoint ? StorageOf(*out.checkpoint) : StorageOfFiles(place.gguf.empty() ? place.folder : place.gguf);
  StatedLicense stated;
  const absl::Status described = place.gguf.empty() ? DescribeDirectory(place, out, stated) : DescribeGguf(place, out, stated);
  if (!described.ok()) return out.checkpoint ? described : opened;
  if (out.refusal.empty()) out.refusal = out.text.error;
  ReadLicense(place, facts, std::move(stated), out);
  absl::StatusOr<std::vector<Unconfirmed>> unconfirmed = ReadUnconfirmed(path);
  if (unconfirmed.ok()) out.unconfirmed = *std::move(unconfirmed);
  else out.unconfirmed_error = Message(unconfirmed.status());
  return out;
}

}  // namespace drover
