// See inspect.h.
#include "cli/inspect.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <ostream>

#include "coordinator/planner.h"
#include "coordinator/planner_report.h"
#include "models/checkpoint/checkpoint.h"
#include "models/weights.h"

namespace drover {
namespace {

// Tensors of one storage form.
struct Stored {
  int64_t tensors = 0, bytes = 0;
};

struct Facts {
  std::string form;
  ParameterCount parameters;
  int64_t kv_bytes = 0;                        // of a token, f32, over all ranks of one
  int64_t routed_layers = 0;
  std::map<std::string, Stored> dtypes;
  std::string tokenizer;
};

std::string FormName(CheckpointForm form) {
  switch (form) {
    case CheckpointForm::kConfigOnly: return "config only";
    case CheckpointForm::kSafetensors: return "safetensors";
    case CheckpointForm::kGguf: return "gguf";
  }
  return "";
}

std::string Tokenizer(const Checkpoint& checkpoint) {
  if (checkpoint.vocabulary)
    return Cat("in the file: ", checkpoint.vocabulary->tokens.size(), " tokens, ", checkpoint.vocabulary->model,
               checkpoint.vocabulary->pre.empty() ? "" : " / ", checkpoint.vocabulary->pre,
               checkpoint.vocabulary->chat_template.empty() ? "" : ", chat template");
  std::error_code error;
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (std::filesystem::exists(std::filesystem::path(checkpoint.path) / name, error)) return name;
  return "none (token ids only)";
}

Facts Collect(const Checkpoint& checkpoint) {
  const ModelSpec& spec = checkpoint.spec;
  Facts facts{FormName(checkpoint.form), CountParameters(spec), KvBytesPerToken(spec, {}, 4), 0, {}, Tokenizer(checkpoint)};
  for (int64_t i = 0; i < spec.layers(); ++i) facts.routed_layers += spec.layer(i).ffn.experts ? 1 : 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    Stored& stored = facts.dtypes[std::string(Name(tensor.dtype))];
    ++stored.tensors;
    stored.bytes += tensor.bytes;
  }
  return facts;
}

Json ToJson(const Checkpoint& checkpoint, const Facts& facts) {
  const ModelSpec& spec = checkpoint.spec;
  Json json = {{"name", checkpoint.name}, {"family", spec.family}, {"form", facts.form},
               {"parameters", facts.parameters.total}, {"active_parameters", facts.parameters.active},
               {"layers", spec.layers()}, {"hidden", spec.hidden}, {"vocab", spec.vocab}, {"context", spec.max_positions},
               {"tied_embeddings", spec.tied_embeddings}, {"kv_bytes_per_token", facts.kv_bytes}, {"end_ids", spec.end_ids}};
  json["kinds"] = Json::array();
  for (size_t k = 0; k < spec.kinds.size(); ++k) {
    const LayerKind& kind = spec.kinds[k];
    Json entry = {{"layers", std::count(spec.layer_kind.begin(), spec.layer_kind.end(), static_cast<int32_t>(k))},
                  {"heads", kind.attention.heads}, {"kv_heads", kind.attention.kv_heads}, {"head_dim", kind.attention.head_dim}};
    if (const auto& latent = kind.attention.latent)
      entry["latent"] = {{"q_rank", latent->q_rank.value_or(0)}, {"kv_rank", latent->kv_rank}, {"value_dim", latent->value_dim}};
    if (kind.ffn.experts)
      entry["experts"] = {{"count", kind.ffn.experts->count}, {"active", kind.ffn.experts->active},
                          {"hidden", kind.ffn.experts->hidden}, {"shared_hidden", kind.ffn.experts->shared_hidden}};
    else
      entry["ffn_hidden"] = kind.ffn.hidden;
    json["kinds"].push_back(entry);
  }
  json["dtypes"] = Json::object();
  for (const auto& [name, stored] : facts.dtypes) json["dtypes"][name] = {{"tensors", stored.tensors}, {"bytes", stored.bytes}};
  json["tokenizer"] = facts.tokenizer;
  json["not_served"] = spec.not_served;
  json["files"] = checkpoint.files;
  json["file_bytes"] = checkpoint.file_bytes;
  return json;
}

void Print(const Checkpoint& checkpoint, const Facts& facts, std::ostream& out) {
  const ModelSpec& spec = checkpoint.spec;
  out << checkpoint.name << "\n";
  out << "parameters   " << FormatCount(facts.parameters.total);
  if (facts.parameters.active != facts.parameters.total) out << ", " << FormatCount(facts.parameters.active) << " active for a token";
  out << "\nKV cache     " << FormatBytes(facts.kv_bytes) << " a token in f32\n";
  if (facts.routed_layers > 0) out << "experts      on " << facts.routed_layers << " of " << spec.layers() << " layers\n";
  out << "embeddings   " << (spec.tied_embeddings ? "tied: input and output share one matrix" : "input and output matrices apart") << "\n";
  out << "tokenizer    " << facts.tokenizer << "\n";
  out << "files        " << facts.form;
  if (!checkpoint.files.empty()) out << ", " << checkpoint.files.size() << (checkpoint.files.size() == 1 ? " file" : " files") << ", " << FormatBytes(checkpoint.file_bytes);
  out << "\n";
  for (const auto& [name, stored] : facts.dtypes)
    out << "  " << name << ": " << stored.tensors << (stored.tensors == 1 ? " tensor, " : " tensors, ") << FormatBytes(stored.bytes) << "\n";
  out << "\n" << ToString(spec);
}

}  // namespace

int RunInspect(const InspectArguments& arguments, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(arguments.model);
  if (!checkpoint.ok()) {
    err << "drover: error: " << Message(checkpoint.status()) << "\n";
    return 1;
  }
  const Facts facts = Collect(*checkpoint);
  if (arguments.json)
    out << ToJson(*checkpoint, facts).dump(2) << "\n";
  else
    Print(*checkpoint, facts, out);
  return 0;
}

}  // namespace drover
