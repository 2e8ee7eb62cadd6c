// Finds stop strings in text that arrives in pieces. Text that may still become a stop string is held back.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

class StopMatcher {
 public:
  // `include_stop`: the stop string itself belongs to the answer.
  StopMatcher(std::vector<std::string> stops, bool include_stop);

  // The text that is now certain. After a match nothing more comes out.
  std::string Append(std::string_view piece);
  // The end of the answer: what was held back.
  std::string Finish();
  // The stop string that matched: of several, the one that ends first, then the one that starts first.
  const std::optional<std::string>& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  bool include_stop_;
  std::string held_;
  std::optional<std::string> matched_;
};

}  // namespace drover
