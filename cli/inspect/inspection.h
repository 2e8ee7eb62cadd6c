// Inspection: everything that drover inspect tells of a model, gathered from its files' headers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/inspect/model_license.h"
#include "cli/inspect/storage_facts.h"
#include "cli/inspect/text_facts.h"
#include "common/status.h"
#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/unconfirmed.h"

namespace drover {

struct Inspection {
  std::string path, name;
  std::string architecture;              // as the files name it; empty: they do not
  std::optional<Checkpoint> checkpoint;  // absent: refused as a whole
  std::string refusal;                   // why Drover does not serve the model; empty: it does
  StorageFacts storage;
  TextFacts text;
  ModelLicense license;
  std::vector<Unconfirmed> unconfirmed;
  std::string unconfirmed_error;
  std::vector<std::string> left_out;     // of a model that is served
};

// An error only when nothing can be said: no such file, no config, no header that can be read.
absl::StatusOr<Inspection> InspectModel(const std::string& path, const LicenseFacts& facts);

}  // namespace drover
