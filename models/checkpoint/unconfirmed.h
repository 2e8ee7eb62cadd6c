// UNCONFIRMED: a file beside a config that names the fields nobody has checked against the published file. A remark a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace drover {

struct Unconfirmed {
  std::string file;                 // that holds the fields, "config.json" unless the line names another
  std::vector<std::string> fields;  // keys, dotted where nested; empty: the note speaks of the file as a whole
  std::string note;                 // may be empty
};

// Lines are "FIELDS", "FIELDS (note)", "FIELDS: note" or "note: FIELDS" with FIELDS joined by ",", "and" or "/", each with
// "FILE.json: " in front where it is not config.json; everything else is a note. Text comes out fit for a terminal.
absl::StatusOr<std::vector<Unconfirmed>> ParseUnconfirmed(std::string_view text);

// Of a model's directory or config file; nothing when there is no such file. Errors name the file.
absl::StatusOr<std::vector<Unconfirmed>> ReadUnconfirmed(const std::string& model);

}  // namespace drover
