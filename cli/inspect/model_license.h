// Which licence a model has, by what its files say. A licence that nothing states stays unknown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/inspect/license_facts.h"
#include "cli/inspect/stated_license.h"

namespace drover {

struct ModelLicense {
  StatedLicense stated;
  std::optional<License> license;
  std::optional<PublishedModel> model;  // what is known of the model by name; never against the licence that the files state
  std::string basis;                    // the statement that decided
  std::vector<std::string> notes;       // contradictions, statements without facts, what to check
};

// Tags and licence files decide; the name does where they are silent.
ModelLicense FindLicense(const LicenseFacts& facts, StatedLicense stated);

}  // namespace drover
