// See license_facts.h.
#include "cli/inspect/license_facts.h"

#include <algorithm>
#include <array>
#include <set>

#include "common/check.h"
#include "common/json.h"

namespace drover {

extern const std::string_view kLicenseData;  // licenses.json

namespace {

// An object whose keys must all be asked for; the first error sticks.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("", "expected an object");
  }

  std::string Text(const std::string& key, bool required = false) {
    const Json* value = Find(key);
    if (value == nullptr && required) Fail(key, "is missing");
    if (value == nullptr) return "";
    if (value->is_string() && !value->get_ref<const std::string&>().empty()) return value->get<std::string>();
    Fail(key, "expected text");
    return "";
  }
  std::vector<std::string> Texts(const std::string& key) {
    std::vector<std::string> out;
    const Json* value = Find(key);
    if (value == nullptr) return out;
    if (!value->is_array()) Fail(key, "expected a list of texts");
    for (const Json& entry : *value) {
      if (entry.is_string()) out.push_back(entry.get<std::string>());
      else Fail(key, "expected a list of texts");
    }
    return out;
  }
  bool Flag(const std::string& key) {
    const Json* value = Find(key);
    if (value == nullptr || !value->is_boolean()) Fail(key, "expected true or false");
    return value != nullptr && value->is_boolean() && value->get<bool>();
  }
  std::optional<int64_t> Count(const std::string& key) {
    const Json* value = Find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned()) Fail(key, "expected a count");
    return value->is_number_unsigned() ? std::optional(value->get<int64_t>()) : std::nullopt;
  }
  // The index of the text among `words`.
  template <size_t n>
  size_t Word(const std::string& key, const std::array<std::string_view, n>& words) {
    const auto found = std::ranges::find(words, Text(key, true));
    if (found != words.end()) return static_cast<size_t>(found - words.begin());
    Fail(key, "is none of its words");
    return 0;
  }
  // There and null.
  bool Null(const std::string& key) {
    const bool null = object_.is_object() && object_.contains(key) && object_[key].is_null();
    if (null) read_.insert(key);
    return null;
  }
  void Fail(const std::string& key, std::string_view what) {
    if (status_.ok()) status_ = InvalidArgument("license facts: ", where_, key.empty() ? "" : ".", key, ": ", what);
  }
  absl::Status Finish() {
    if (object_.is_object())
      for (const auto& [key, value] : object_.items())
        if (!read_.contains(key)) Fail(key, "is not a known key");
    return status_;
  }

 private:
  const Json* Find(const std::string& key) {
    read_.insert(key);
    return object_.is_object() && object_.contains(key) ? &object_[key] : nullptr;
  }

  const Json& object_;
  std::string where_;
  std::set<std::string> read_;
  absl::Status status_;
};

absl::StatusOr<License> ReadLicense(const Json& json, std::string where) {
  Fields fields(json, std::move(where));
  License out;
  out.id = fields.Text("id", true);
  out.name = fields.Text("name", true);
  out.osi = fields.Flag("osi");
  out.tags = fields.Texts("tags");
  out.titles = fields.Texts("titles");
  out.commercial = static_cast<CommercialUse>(fields.Word("commercial", std::array<std::string_view, 3>{"yes", "limited", "no"}));
  out.commercial_note = fields.Text("commercial_note");
  out.monthly_users = fields.Count("monthly_users");
  out.attribution = fields.Text("attribution");
  out.naming = fields.Text("naming");
  out.regions = fields.Texts("regions");
  out.use = fields.Texts("use");
  DROVER_RETURN_IF_ERROR(fields.Finish());
  return out;
}

// "released", "partial; kernels alone": one of four words, then details.
std::string ReadPublished(Fields& fields, const std::string& key) {
  std::string text = fields.Text(key, true);
  for (const std::string_view word : {"released", "partial", "described", "not released"})
    if (text == word || (text.starts_with(word) && std::string_view(";, ").find(text[word.size()]) != std::string_view::npos)) return text;
  fields.Fail(key, "expected to begin with released, partial, described or not released");
  return text;
}

absl::StatusOr<PublishedModel> ReadModel(const Json& json, std::string where) {
  Fields fields(json, std::move(where));
  PublishedModel out;
  out.family = fields.Text("family", true);
  out.names = fields.Texts("names");
  if (out.names.empty()) fields.Fail("names", "expected at least one");
  out.exceptions = fields.Texts("except");
  if (!fields.Null("license")) out.license = fields.Text("license", true);
  out.use = fields.Texts("use");
  out.weights = ReadPublished(fields, "weights");
  out.code = ReadPublished(fields, "code");
  out.data = ReadPublished(fields, "data");
  out.status = static_cast<FactStatus>(fields.Word("status", std::array<std::string_view, 3>{"read", "vendor", "unconfirmed"}));
  out.note = fields.Text("note");
  DROVER_RETURN_IF_ERROR(fields.Finish());
  return out;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// "Qwen2.5-7B_x" is qwen 2.5 7 b x: runs of letters, and of digits with points inside; everything else parts them.
std::vector<std::string> Words(std::string_view text) {
  enum class Kind { kNone, kLetter, kDigit };
  const auto kind_of = [](char c) { return c >= '0' && c <= '9' ? Kind::kDigit : Lower(c) >= 'a' && Lower(c) <= 'z' ? Kind::kLetter : Kind::kNone; };
  std::vector<std::string> words;
  Kind last = Kind::kNone;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool point = text[i] == '.' && last == Kind::kDigit && i + 1 < text.size() && kind_of(text[i + 1]) == Kind::kDigit;
    const Kind kind = point ? Kind::kDigit : kind_of(text[i]);
    if (kind != last && kind != Kind::kNone) words.emplace_back();
    if (kind != Kind::kNone) words.back().push_back(Lower(text[i]));
    last = kind;
  }
  return words;
}

bool Contains(const std::vector<std::string>& words, std::string_view part) {
  return !std::ranges::search(words, Words(part)).empty();
}

bool BeginsWith(const std::vector<std::string>& words, const std::vector<std::string>& start) {
  return start.size() <= words.size() && std::equal(start.begin(), start.end(), words.begin());
}

}  // namespace

const License* LicenseFacts::Find(std::string_view id) const {
  const auto found = std::ranges::find(licenses, id, &License::id);
  return found == licenses.end() ? nullptr : &*found;
}

absl::StatusOr<LicenseFacts> ParseLicenseFacts(std::string_view text) {
  DROVER_ASSIGN_OR_RETURN(const Json json, ParseJson(text, {.bytes = 1 << 20, .depth = 4, .elements = 10'000}));
  const bool shaped = json.is_object() && json.size() == 2 && json.contains("licenses") && json.contains("models") &&
                      json["licenses"].is_array() && json["models"].is_array();
  if (!shaped) return InvalidArgument("license facts: expected an object with the lists licenses and models");
  LicenseFacts facts;
  for (const Json& entry : json["licenses"]) {
    DROVER_ASSIGN_OR_RETURN(License license, ReadLicense(entry, Cat("licenses[", facts.licenses.size(), "]")));
    if (facts.Find(license.id) != nullptr) return InvalidArgument("license facts: ", license.id, " is there twice");
    facts.licenses.push_back(std::move(license));
  }
  for (const Json& entry : json["models"]) {
    DROVER_ASSIGN_OR_RETURN(PublishedModel model, ReadModel(entry, Cat("models[", facts.models.size(), "]")));
    if (model.license && facts.Find(*model.license) == nullptr)
      return InvalidArgument("license facts: models[", facts.models.size(), "].license: ", *model.license, " is not among the licenses");
    facts.models.push_back(std::move(model));
  }
  return facts;
}

LicenseFacts BuiltInLicenseFacts() {
  absl::StatusOr<LicenseFacts> facts = ParseLicenseFacts(kLicenseData);
  DROVER_CHECK(facts.ok());
  return *std::move(facts);
}

const License* LicenseOfTag(const LicenseFacts& facts, std::string_view tag) {
  std::string lower(tag);
  std::ranges::transform(lower, lower.begin(), Lower);
  for (const License& license : facts.licenses) {
    std::string id = license.id;
    std::ranges::transform(id, id.begin(), Lower);
    if (id == lower || std::ranges::find(license.tags, lower) != license.tags.end()) return &license;
  }
  return nullptr;
}

const License* LicenseOfText(const LicenseFacts& facts, std::string_view text) {
  const std::vector<std::string> words = Words(text);
  const License* best = nullptr;
  size_t longest = 0;
  for (const License& license : facts.licenses)
    for (const std::string& title : license.titles) {
      const std::vector<std::string> start = Words(title);
      if (start.size() <= longest || !BeginsWith(words, start)) continue;
      longest = start.size();
      best = &license;
    }
  return best;
}

const PublishedModel* ModelOfName(const LicenseFacts& facts, std::string_view name) {
  const std::vector<std::string> words = Words(name);
  const PublishedModel* best = nullptr;
  size_t longest = 0;
  for (const PublishedModel& model : facts.models) {
    if (std::ranges::any_of(model.exceptions, [&](const std::string& part) { return Contains(words, part); })) continue;
    for (const std::string& part : model.names) {
      const size_t length = Words(part).size();
      if (length <= longest || !Contains(words, part)) continue;
      longest = length;
      best = &model;
    }
  }
  return best;
}

}  // namespace drover
