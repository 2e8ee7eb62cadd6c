// See stated_license.h.
#include "cli/inspect/stated_license.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "common/file.h"
#include "models/checkpoint/text.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSaysBytes = 80, kTextBytes = 200, kStatements = 20;
constexpr int64_t kReadmeBytes = 4 << 20, kLicenseBytes = 1 << 20;

std::string_view Line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

std::string_view Unquoted(std::string_view value) {
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front();
  return quoted ? value.substr(1, value.size() - 2) : value;
}

void Add(std::string_view key, std::string_view value, StatedLicense& out) {
  value = Unquoted(value);
  std::vector<Statement>* list = key == "license" || key == "license_name" ? &out.tags : key == "base_model" ? &out.names : nullptr;
  // "other" says that license_name, or a file, has the answer.
  if (list == nullptr || value.empty() || value == "other" || value == "unknown" || list->size() == kStatements) return;
  list->push_back({Cat("README.md, ", key), Printable(value, kSaysBytes)});
}

bool IsLicenseFile(std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const bool license = name.find("LICENSE") != name.npos || name.find("LICENCE") != name.npos || name.starts_with("COPYING");
  return license && name.find("CODE") == name.npos && !name.ends_with(".JSON") && !name.ends_with(".PY");
}

// The beginning of a text in one line, marks of headings left out.
std::string Beginning(std::string_view text) {
  std::string line;
  for (const char c : text.substr(0, 2 * kTextBytes)) {
    const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '#' || c == '*';
    if (!space) line.push_back(c);
    else if (!line.empty() && line.back() != ' ') line.push_back(' ');
  }
  return Printable(line, kTextBytes);
}

}  // namespace

StatedLicense ParseFrontMatter(std::string_view readme) {
  StatedLicense out;
  if (Line(readme) != "---") return out;
  std::string_view key;
  while (!readme.empty()) {
    const std::string_view line = Line(readme);
    if (line == "---" || line == "...") return out;
    const size_t colon = line.find(':');
    if (line.starts_with("- ") || line.starts_with("  - ")) {
      Add(key, line.substr(line.find('-') + 1), out);
    } else if (!line.starts_with(' ') && colon != line.npos) {
      key = line.substr(0, colon);
      Add(key, line.substr(colon + 1), out);
    }
  }
  return {};  // without an end it is no front matter
}

StatedLicense ReadStatements(const std::string& folder) {
  StatedLicense out;
  if (const auto readme = ReadFile((fs::path(folder) / "README.md").string(), kReadmeBytes); readme.ok()) out = ParseFrontMatter(*readme);
  std::vector<std::string> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error))
    if (IsLicenseFile(entry.path().filename().string())) files.push_back(entry.path().filename().string());
  std::ranges::sort(files);
  for (const std::string& file : files)
    if (const auto text = ReadFile((fs::path(folder) / file).string(), kLicenseBytes); text.ok() && out.texts.size() < kStatements)
      out.texts.push_back({Printable(file, kSaysBytes), Beginning(*text)});
  return out;
}

}  // namespace drover
