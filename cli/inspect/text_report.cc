// See text_report.h.
#include "cli/inspect/text_report.h"

#include <algorithm>
#include <map>

#include "coordinator/planner.h"
#include "coordinator/planner_report.h"
#include "models/weights.h"

namespace drover {
namespace {

constexpr size_t kWidth = 80, kLabel = 14;
constexpr size_t kFormsShown = 6;

// Columns of a text, a character each.
size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// Takes what fits into `columns` off the front: up to a space where there is one, else up to a whole character.
std::string_view TakeLine(std::string_view& text, size_t columns) {
  size_t end = 0, space = 0, used = 0;
  while (end < text.size()) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && ++used > columns) break;
    if (text[end] == ' ') space = end;
    ++end;
  }
  if (end < text.size() && text[end] != ' ' && space > 0) end = space;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return line;
}

// "label    text", wrapped under the text.
std::string Row(std::string_view label, std::string_view text) {
  std::string out(label);
  out += std::string(kLabel - std::min(kLabel - 1, Columns(label)), ' ');
  while (true) {
    out += Cat(TakeLine(text, kWidth - kLabel), "\n");
    if (text.empty()) return out;
    out += std::string(kLabel, ' ');
  }
}

// "label    one", and the others below it.
std::string Rows(std::string_view label, const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += Row(out.empty() ? label : "", text);
  return out;
}

std::string Count(int64_t count, std::string_view one) { return Cat(count, " ", one, count == 1 ? "" : "s"); }

// "16 of 32 layers see the last 4096 tokens, but all is cached".
std::string Windows(const ModelSpec& spec) {
  std::map<std::string, int64_t> layers;
  for (const int32_t kind : spec.layer_kind) {
    const Attention& attention = spec.kinds[static_cast<size_t>(kind)].attention;
    if (attention.window) ++layers[Cat("the last ", *attention.window, " tokens")];
    if (attention.chunk) ++layers[Cat("their chunk of ", *attention.chunk, " tokens")];
  }
  std::string out;
  for (const auto& [what, count] : layers) out += Cat(out.empty() ? "" : "; ", count, " of ", spec.layers(), " layers see ", what);
  return out.empty() ? out : out + ", but all is cached";
}

std::string ModelRows(const Inspection& in) {
  const ModelSpec& spec = in.checkpoint->spec;
  const ParameterCount count = CountParameters(spec);
  const bool routed = count.active != count.total;
  std::string out = Row("parameters", Cat(FormatCount(count.total), routed ? Cat(", ", FormatCount(count.active), " active for a token") : "",
                                          spec.tied_embeddings ? ", the tied embedding counted once" : ""));
  out += Row("context", Cat(Count(spec.max_positions, "token"), ", vocabulary of ", spec.vocab));
  out += Row("KV cache", Cat(FormatBytes(KvBytesPerToken(spec, {}, 4)), " a token in f32 (as Drover keeps it), ",
                             FormatBytes(KvBytesPerToken(spec, {}, 2)), " in bf16"));
  if (const auto& latent = spec.kinds[0].attention.latent)
    out += Row("", Cat("latent: ", latent->kv_rank, " + ", spec.kinds[0].attention.head_dim - latent->nope_dim,
                       " rotated values a layer stand for all ", spec.kinds[0].attention.heads, " heads"));
  if (const std::string windows = Windows(spec); !windows.empty()) out += Row("", windows);
  return out;
}

std::string StorageRows(const Inspection& in) {
  const StorageFacts& storage = in.storage;
  std::string release = storage.container;
  if (!storage.method.empty()) release += Cat(", quant_method ", storage.method);
  if (!storage.named_type.empty()) release += Cat(", torch_dtype ", storage.named_type);
  if (storage.files > 0) release += Cat(", ", Count(storage.files, "file"), " of ", FormatBytes(storage.file_bytes));
  std::string out = Row("release", release);
  std::vector<std::string> lines;
  for (const HeldForm& held : storage.held)
    if (lines.size() < kFormsShown) lines.push_back(Cat(held.form, ": ", FormatCount(held.values), " values, ", FormatBytes(held.bytes)));
  out += Rows("weights", lines);
  if (storage.held.size() > kFormsShown) out += Row("", Cat("and ", storage.held.size() - kFormsShown, " more forms"));
  if (!in.checkpoint)
    for (const auto& [name, type] : storage.types)
      out += Row("  stored", Cat(name, ": ", Count(type.tensors, "tensor"), ", ", FormatCount(type.values), " values, ", FormatBytes(type.bytes)));
  return out;
}

std::string TextRows(const TextFacts& text) {
  if (!text.error.empty()) return Row("tokenizer", Cat("cannot be used: ", text.error));
  std::string out;
  if (text.tokenizer.empty()) out = Row("tokenizer", "none: prompts are token ids");
  else out = Row("tokenizer", Cat(text.tokenizer, ": ", text.kind, ", ", text.vocabulary, " ids, ", Count(text.special_tokens, "special token")));
  std::string roles, ends;
  for (const auto& [role, token] : text.roles) roles += Cat(roles.empty() ? "" : ", ", role.substr(0, role.find("_token")), " ", token);
  if (!roles.empty()) out += Row("", roles);
  for (const NamedToken& end : text.ends) ends += Cat(ends.empty() ? "" : ", ", end.id, end.text.empty() ? "" : " ", end.text);
  if (!ends.empty()) out += Row("", "answers end at " + ends);
  if (text.template_from.empty()) return out + Row("chat template", "none");
  out += Row("chat template", Cat("in ", text.template_from, ", ", Count(text.template_bytes, "byte"), ", compiles"));
  out += Row("", text.template_start);
  std::string names;
  for (const std::string& name : text.named_templates) names += Cat(names.empty() ? "" : ", ", name);
  return names.empty() ? out : out + Row("", "others: " + names);
}

std::string Asks(const License& license) {
  std::string commercial = license.commercial == CommercialUse::kYes ? "yes" : license.commercial == CommercialUse::kNo ? "no" : "within limits";
  if (!license.commercial_note.empty()) commercial += ": " + license.commercial_note;
  std::string out = Row("  commercial", commercial);
  if (license.monthly_users) out += Row("  user limit", Cat(*license.monthly_users / 1'000'000, " million monthly active users"));
  if (!license.attribution.empty()) out += Row("  attribution", license.attribution);
  if (!license.naming.empty()) out += Row("  naming", license.naming);
  return out + Rows("  regions", license.regions);
}

std::string StatusText(FactStatus status) {
  switch (status) {
    case FactStatus::kRead: return "taken from the licence text";
    case FactStatus::kVendor: return "taken from what its makers state, not from the licence text";
    case FactStatus::kUnconfirmed: return "UNCONFIRMED: the licence text was not read for them";
  }
  return "";
}

std::string LicenseRows(const ModelLicense& in) {
  const License* license = in.license ? &*in.license : nullptr;
  std::string out = Row("licence", license == nullptr ? "not known" : Cat(license->name, " (", license->id, ")", license->osi ? ", OSI-approved" : ""));
  if (!in.basis.empty()) out += Row("  found by", in.basis);
  if (license != nullptr) out += Asks(*license);
  std::vector<std::string> use = license == nullptr ? std::vector<std::string>() : license->use;
  if (in.model) use.insert(use.end(), in.model->use.begin(), in.model->use.end());
  out += Rows("  use", use);
  if (in.model) {
    const PublishedModel& model = *in.model;
    out += Row("  published", Cat("weights: ", model.weights));
    out += Row("", Cat("training code: ", model.code)) + Row("", Cat("training data: ", model.data));
    out += Row("  facts", Cat("of ", model.family, ", ", StatusText(model.status)));
    if (!model.note.empty()) out += Row("", model.note);
  } else if (license != nullptr) {
    out += Row("  published", "not known for this model beyond the weights at hand");
  }
  out += Rows("  check", in.notes);
  return out + Row("", "facts to check against the licence text; no legal advice");
}

std::string UnconfirmedRows(const Inspection& in) {
  if (!in.unconfirmed_error.empty()) return Row("unconfirmed", "cannot be read: " + in.unconfirmed_error);
  std::string plain;  // fields that need no more words
  std::vector<std::string> lines;
  for (const Unconfirmed& entry : in.unconfirmed) {
    std::string fields;
    for (const std::string& field : entry.fields) fields += Cat(fields.empty() ? "" : ", ", field);
    if (!fields.empty() && entry.file != "config.json") fields += Cat(" of ", entry.file);
    if (entry.note.empty()) plain += Cat(plain.empty() ? "" : ", ", fields);
    else lines.push_back(fields.empty() ? entry.note : Cat(fields, ": ", entry.note));
  }
  if (!plain.empty()) lines.insert(lines.begin(), plain);
  return Rows("unconfirmed", lines);
}

std::string SpecRows(const ModelSpec& spec) {
  std::string out, text = ToString(spec);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const size_t indent = std::min(text.find_first_not_of(' ', begin), end) - begin;
    std::string_view line = std::string_view(text).substr(begin + indent, end - begin - indent);
    begin = end + 1;
    if (line.starts_with("not served: ")) continue;  // said above
    out += Cat(std::string(indent, ' '), TakeLine(line, kWidth - indent), "\n");
    while (!line.empty()) out += Cat("      ", TakeLine(line, kWidth - 6), "\n");
  }
  return out;
}

}  // namespace

std::string TextReport(const Inspection& in) {
  std::string out = in.name + "\n";
  const std::string architecture = in.architecture.empty() ? "" : Cat(" (", in.architecture, ")");
  if (in.refusal.empty()) out += Row("served", Cat("yes, as ", in.checkpoint->spec.family, architecture));
  else out += Row("served", Cat("NO", architecture, ": ", in.refusal.substr(0, in.refusal.find("; served are "))));  // all: --json
  if (in.checkpoint) out += ModelRows(in);
  out += StorageRows(in) + TextRows(in.text) + LicenseRows(in.license) + UnconfirmedRows(in) + Rows("left out", in.left_out);
  return in.checkpoint ? Cat(out, "\n", SpecRows(in.checkpoint->spec)) : out;
}

}  // namespace drover
