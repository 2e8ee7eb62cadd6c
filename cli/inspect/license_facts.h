// Facts about licences of published models and about what was published with them. Compiled in from licenses.json; no legal
// advice: the licence text stands over them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace drover {

enum class CommercialUse { kYes, kLimited, kNo };

struct License {
  std::string id, name;             // SPDX, or LicenseRef-... where SPDX has none
  bool osi = false;                 // on the list of the Open Source Initiative
  std::vector<std::string> tags;    // other spellings in a README's front matter
  std::vector<std::string> titles;  // how its text begins
  CommercialUse commercial = CommercialUse::kNo;
  std::string commercial_note;
  std::optional<int64_t> monthly_users;  // above them more is asked
  std::string attribution, naming;       // empty: nothing is asked
  std::vector<std::string> regions, use; // restrictions
};

// How the facts of a model were found.
enum class FactStatus {
  kRead,         // in the licence text
  kVendor,       // in what its makers state beside the model
  kUnconfirmed,  // in public knowledge; the licence text was not read
};

struct PublishedModel {
  std::string family;
  std::vector<std::string> names, exceptions;  // parts of a model's name that mean it, and that mean another
  std::optional<std::string> license;          // id; absent: nobody has rights
  std::vector<std::string> use;                // restrictions beside the licence's
  std::string weights, code, data;             // "released", "partial", "described", "not released", then details
  FactStatus status = FactStatus::kUnconfirmed;
  std::string note;
};

struct LicenseFacts {
  std::vector<License> licenses;
  std::vector<PublishedModel> models;

  const License* Find(std::string_view id) const;
};

// Strict: every key known and of its type, every licence of a model there.
absl::StatusOr<LicenseFacts> ParseLicenseFacts(std::string_view json);

// What this program was built with.
LicenseFacts BuiltInLicenseFacts();

// The licence that a README's tag means; null when it is not known.
const License* LicenseOfTag(const LicenseFacts& facts, std::string_view tag);

// The licence whose text begins like this, by the longest title; null when it is not known.
const License* LicenseOfText(const LicenseFacts& facts, std::string_view text);

// The model that a name means, by the longest part of it: words and numbers are compared, so that "Llama-3" is not "Llama-3.1".
const PublishedModel* ModelOfName(const LicenseFacts& facts, std::string_view name);

}  // namespace drover
