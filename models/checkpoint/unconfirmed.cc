// See unconfirmed.h.
#include "models/checkpoint/unconfirmed.h"

#include <algorithm>
#include <filesystem>

#include "common/file.h"
#include "models/checkpoint/text.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBytesMax = 64 << 10;
constexpr size_t kLinesMax = 1000, kLineBytesShown = 1000;

bool IsKey(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.'; };
  return !text.empty() && letter(text[0]) && std::ranges::all_of(text, rest);
}

// The keys of a list; nothing when a part of it is no key.
std::vector<std::string> Keys(std::string_view text) {
  std::vector<std::string> keys;
  while (true) {
    size_t end = text.size(), next = text.size();
    for (const std::string_view joint : {", ", " and ", " / "})
      if (const size_t at = text.find(joint); at < end) {
        end = at;
        next = at + joint.size();
      }
    if (!IsKey(text.substr(0, end))) return {};
    keys.emplace_back(text.substr(0, end));
    if (end == text.size()) return keys;
    text.remove_prefix(next);
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\t')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

Unconfirmed ParseLine(std::string_view line) {
  Unconfirmed out{.file = "config.json", .fields = {}, .note = {}};
  if (const size_t colon = line.find(".json: "); colon != line.npos && IsKey(line.substr(0, colon))) {
    out.file = line.substr(0, colon + 5);
    line.remove_prefix(colon + 7);
  }
  const size_t colon = line.find(": "), bracket = line.find(" (");
  out.fields = Keys(line.substr(0, std::min(colon, bracket)));
  if (!out.fields.empty()) {
    if (colon < bracket) out.note = line.substr(colon + 2);
    if (bracket < colon) out.note = line.substr(bracket + 2, line.size() - bracket - (line.ends_with(')') ? 3 : 2));
    return out;
  }
  // What is listed behind "confirmed by ...:" is not what this file is about.
  if (colon != line.npos && !line.starts_with("confirmed")) out.fields = Keys(line.substr(colon + 2));
  out.note = out.fields.empty() ? line : line.substr(0, colon);
  return out;
}

}  // namespace

absl::StatusOr<std::vector<Unconfirmed>> ParseUnconfirmed(std::string_view text) {
  std::vector<Unconfirmed> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line = Printable(Trim(text.substr(0, end)), kLineBytesShown);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (out.size() == kLinesMax) return ResourceExhausted("found more than ", kLinesMax, " lines");
    out.push_back(ParseLine(line));
  }
  return out;
}

absl::StatusOr<std::vector<Unconfirmed>> ReadUnconfirmed(const std::string& model) {
  std::error_code error;
  fs::path folder = model;
  if (model.ends_with(".json")) folder = folder.parent_path();
  if (model.ends_with(".gguf")) return std::vector<Unconfirmed>();
  const fs::path path = folder / "UNCONFIRMED";
  if (!fs::exists(path, error)) return std::vector<Unconfirmed>();
  DROVER_ASSIGN_OR_RETURN(const std::string text, ReadFile(path.string(), kBytesMax));
  absl::StatusOr<std::vector<Unconfirmed>> lines = ParseUnconfirmed(text);
  if (!lines.ok()) return Annotate(lines.status(), path.string());
  return lines;
}

}  // namespace drover
