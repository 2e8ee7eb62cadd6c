// What a model's files say about its licence and its name. Files are hostile: bounded reads, text fit for a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace drover {

struct Statement {
  std::string where;  // "README.md, license"
  std::string says;
};

struct StatedLicense {
  std::vector<Statement> tags;   // short names of licences
  std::vector<Statement> texts;  // how licence files begin
  std::vector<Statement> names;  // of the model, or of one that it was made from
};

// license, license_name and base_model between the first two lines "---" of a model card; lists too.
StatedLicense ParseFrontMatter(std::string_view readme);

// README.md and files named LICENSE, LICENCE or COPYING (those for code alone left out). Unreadable ones say nothing.
StatedLicense ReadStatements(const std::string& folder);

}  // namespace drover
