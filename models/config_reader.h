// ConfigReader: a JSON object of model settings, read key by key with types and ranges. It remembers what was read: a key that
// nobody asked for may change the mathematics, so it is an error unless it stands on a short list (config_reader.cc).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"
#include "common/status.h"

namespace drover {

struct IntRange {
  int64_t lowest = 0, highest = 0;
};
inline constexpr IntRange kCount{1, 1 << 24};      // widths, heads, layers' parts
inline constexpr IntRange kPositions{1, 1 << 28};  // context lengths in tokens

// The first error sticks and is reported by Finish(); after an error every read gives a legal value, so that the arithmetic
// of a description stays defined. JSON null counts as an absent key. One thread.
class ConfigReader {
 public:
  explicit ConfigReader(Json object, std::string path = "");

  // From here on `key` means `spelled`, where the config has that: families that name a setting in their own way.
  void Alias(std::string_view key, std::string_view spelled);
  // An absent key has this value; null stays null.
  void Assume(std::string_view key, Json value);
  bool Has(std::string_view key) const;  // there and not null; does not count as reading
  bool IsZero(std::string_view key);             // there and the number 0
  bool IsNull(std::string_view key) const;  // there and null; does not count as reading
  int64_t Int(std::string_view key, IntRange range);
  int64_t IntOr(std::string_view key, int64_t fallback, IntRange range);
  std::optional<int64_t> MaybeInt(std::string_view key, IntRange range);
  double Number(std::string_view key);                       // required, finite, > 0
  double NumberOr(std::string_view key, double fallback);    // finite, > 0
  std::optional<double> MaybeNumber(std::string_view key);   // finite, > 0
  std::optional<double> NumberOrNull(std::string_view key, double fallback);  // null means none, absence the fallback
  bool BoolOr(std::string_view key, bool fallback);
  bool SwitchOr(std::string_view key, bool fallback);  // also an integer: 0 is off
  void RequireFalse(std::string_view key);             // absent or false
  std::string StringOr(std::string_view key, std::string_view fallback);
  // A list, or one integer standing for a list of one; empty when absent. At most 4,096 entries.
  std::vector<int64_t> IntList(std::string_view key, IntRange range);
  std::vector<std::string> StringList(std::string_view key);
  // Finite numbers above 0; at most 4,096.
  std::vector<double> NumberList(std::string_view key);
  // The object under `key`, null when absent. Its unread keys are errors of this reader too.
  ConfigReader* Object(std::string_view key);
  std::vector<std::string> Keys() const;  // does not count as reading
  // Known and without effect on the served part.
  void Ignore(std::string_view key);

  // Records "key: found ..., expected ..." unless an error stands already.
  void Fail(std::string_view key, std::string_view found, std::string_view expected);
  // The first error, else the unread keys, else OK.
  absl::Status Finish() const;
  absl::Status FirstError() const;

 private:
  std::string_view Spelled(std::string_view key) const;
  const Json* Find(std::string_view key);
  void FailFound(std::string_view key, const Json& value, std::string_view expected);
  void CollectUnread(std::vector<std::string>& keys) const;

  Json object_;
  std::string path_;  // prefix of key names in messages, e.g. "text_config."
  std::set<std::string, std::less<>> read_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::map<std::string, std::unique_ptr<ConfigReader>, std::less<>> children_;
  absl::Status status_;
};

}  // namespace drover
