// See json_report.h. Keys are only ever added under one number of the schema.
#include "cli/inspect/json_report.h"

#include <algorithm>

#include "models/weights.h"

namespace drover {
namespace {

constexpr int kSchema = 1;

Json OrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json Kinds(const ModelSpec& spec) {
  Json list = Json::array();
  for (size_t k = 0; k < spec.kinds.size(); ++k) {
    const LayerKind& kind = spec.kinds[k];
    const Attention& attention = kind.attention;
    Json entry = {{"layers", std::ranges::count(spec.layer_kind, static_cast<int32_t>(k))},
                  {"heads", attention.heads}, {"kv_heads", attention.kv_heads}, {"head_dim", attention.head_dim}};
    if (attention.window) entry["window"] = *attention.window;
    if (attention.chunk) entry["chunk"] = *attention.chunk;
    if (const auto& latent = attention.latent)
      entry["latent"] = {{"q_rank", latent->q_rank.value_or(0)}, {"kv_rank", latent->kv_rank},
                         {"rotated", attention.head_dim - latent->nope_dim}, {"value_dim", latent->value_dim}};
    if (const auto& experts = kind.ffn.experts)
      entry["experts"] = {{"count", experts->count}, {"active", experts->active}, {"hidden", experts->hidden}, {"shared_hidden", experts->shared_hidden}};
    else
      entry["ffn_hidden"] = kind.ffn.hidden;
    list.push_back(std::move(entry));
  }
  return list;
}

Json Model(const Checkpoint& checkpoint) {
  const ModelSpec& spec = checkpoint.spec;
  const ParameterCount count = CountParameters(spec);
  return {{"family", spec.family}, {"parameters", {{"total", count.total}, {"active", count.active}}},
          {"kv_bytes_per_token", {{"f32", KvBytesPerToken(spec, {}, 4)}, {"bf16", KvBytesPerToken(spec, {}, 2)}}},
          {"context", spec.max_positions}, {"layers", spec.layers()}, {"hidden", spec.hidden}, {"vocab", spec.vocab},
          {"tied_embeddings", spec.tied_embeddings}, {"kinds", Kinds(spec)}};
}

Json Release(const StorageFacts& storage) {
  Json types = Json::object(), weights = Json::array();
  for (const auto& [name, type] : storage.types) types[name] = {{"tensors", type.tensors}, {"values", type.values}, {"bytes", type.bytes}};
  for (const HeldForm& held : storage.held)
    weights.push_back({{"form", held.form}, {"weights", held.weights}, {"values", held.values}, {"bytes", held.bytes}});
  return {{"container", storage.container}, {"method", OrNull(storage.method)}, {"named_type", OrNull(storage.named_type)},
          {"files", storage.files}, {"file_bytes", storage.file_bytes}, {"stored", types}, {"weights", weights}};
}

Json Tokenizer(const TextFacts& text) {
  Json ends = Json::array();
  for (const NamedToken& end : text.ends) ends.push_back({{"id", end.id}, {"text", OrNull(end.text)}});
  return {{"error", OrNull(text.error)}, {"from", OrNull(text.tokenizer)}, {"kind", OrNull(text.kind)}, {"vocabulary", text.vocabulary},
          {"special_tokens", text.special_tokens}, {"roles", text.roles}, {"ends", ends}};
}

Json Template(const TextFacts& text) {
  return {{"from", OrNull(text.template_from)}, {"bytes", text.template_bytes}, {"starts", OrNull(text.template_start)}, {"named", text.named_templates}};
}

Json Statements(const StatedLicense& stated) {
  Json list = Json::array();
  for (const auto* part : {&stated.tags, &stated.texts, &stated.names})
    for (const Statement& statement : *part) list.push_back({{"where", statement.where}, {"says", statement.says}});
  return list;
}

Json LicenseJson(const ModelLicense& in) {
  constexpr const char* kCommercial[] = {"yes", "limited", "no"};
  constexpr const char* kStatus[] = {"read", "vendor", "unconfirmed"};
  Json json = {{"id", Json()}, {"basis", OrNull(in.basis)}, {"stated", Statements(in.stated)}, {"terms", Json()}, {"published", Json()}, {"check", in.notes}};
  if (in.license) {
    const License& license = *in.license;
    std::vector<std::string> use = license.use;
    if (in.model) use.insert(use.end(), in.model->use.begin(), in.model->use.end());
    json["id"] = license.id;
    json["terms"] = {{"name", license.name}, {"osi_approved", license.osi}, {"commercial", kCommercial[static_cast<size_t>(license.commercial)]},
                     {"commercial_note", OrNull(license.commercial_note)}, {"monthly_users", license.monthly_users ? Json(*license.monthly_users) : Json()},
                     {"attribution", OrNull(license.attribution)}, {"naming", OrNull(license.naming)}, {"regions", license.regions}, {"use", use}};
  }
  if (in.model)
    json["published"] = {{"family", in.model->family}, {"weights", in.model->weights}, {"code", in.model->code}, {"data", in.model->data},
                         {"status", kStatus[static_cast<size_t>(in.model->status)]}, {"note", OrNull(in.model->note)}};
  return json;
}

}  // namespace

Json JsonReport(const Inspection& in) {
  Json unconfirmed = Json::array();
  for (const Unconfirmed& entry : in.unconfirmed) unconfirmed.push_back({{"file", entry.file}, {"fields", entry.fields}, {"note", OrNull(entry.note)}});
  return {{"schema", kSchema}, {"name", in.name}, {"architecture", OrNull(in.architecture)}, {"served", in.refusal.empty()},
          {"refusal", OrNull(in.refusal)}, {"model", in.checkpoint ? Model(*in.checkpoint) : Json()}, {"release", Release(in.storage)},
          {"tokenizer", Tokenizer(in.text)}, {"chat_template", Template(in.text)}, {"license", LicenseJson(in.license)},
          {"unconfirmed", unconfirmed}, {"unconfirmed_error", OrNull(in.unconfirmed_error)}, {"left_out", in.left_out}};
}

}  // namespace drover
