// See model_license.h.
#include "cli/inspect/model_license.h"

#include <map>
#include <set>

#include "common/status.h"

namespace drover {
namespace {

std::string Quoted(const Statement& statement) { return Cat(statement.where, ": \"", statement.says, "\""); }

// The licences that tags and texts state, each with what states it first. Statements without facts become notes.
std::map<std::string, std::string> KnownLicenses(const LicenseFacts& facts, ModelLicense& out) {
  std::map<std::string, std::string> known;
  const auto add = [&](const Statement& statement, const License* license, std::string_view lack) {
    if (license != nullptr) known.try_emplace(license->id, Quoted(statement));
    else out.notes.push_back(Cat(Quoted(statement), ": ", lack));
  };
  for (const Statement& tag : out.stated.tags) add(tag, LicenseOfTag(facts, tag.says), "no facts about this licence here");
  for (const Statement& text : out.stated.texts) add(text, LicenseOfText(facts, text.says), "not the beginning of a licence known here");
  return known;
}

void FindModel(const LicenseFacts& facts, ModelLicense& out) {
  std::set<const PublishedModel*> found;
  std::string basis;
  for (const Statement& name : out.stated.names) {
    const PublishedModel* model = ModelOfName(facts, name.says);
    if (model != nullptr && found.insert(model).second && basis.empty()) basis = Quoted(name);
  }
  if (found.size() > 1) out.notes.push_back("its names fit several published models: look which one it is");
  if (found.size() != 1) return;
  out.model = **found.begin();
  if (out.basis.empty()) out.basis = basis;
}

}  // namespace

ModelLicense FindLicense(const LicenseFacts& facts, StatedLicense stated) {
  ModelLicense out{.stated = std::move(stated), .license = {}, .model = {}, .basis = {}, .notes = {}};
  const std::map<std::string, std::string> known = KnownLicenses(facts, out);
  const bool silent = out.stated.tags.empty() && out.stated.texts.empty();
  if (known.size() > 1) out.notes.push_back("the files state several licences: look which one is the model's");
  if (known.size() == 1) {
    out.license = *facts.Find(known.begin()->first);
    out.basis = known.begin()->second;
  }
  FindModel(facts, out);
  if (out.model && silent && out.model->license) {
    out.license = *facts.Find(*out.model->license);
    out.notes.push_back("no file of the model states a licence: a name alone decided");
  }
  if (out.model && !silent && (!out.license || out.model->license != out.license->id)) {
    out.notes.push_back(Cat("by its name it would be ", out.model->family, " under ", out.model->license.value_or("no licence"),
                            ": look which holds"));
    out.model.reset();
  }
  if (!out.license && silent && !out.model)
    out.notes.push_back("not stated: no README.md front matter, licence file, metadata or known name; look where the weights came from");
  return out;
}

}  // namespace drover
