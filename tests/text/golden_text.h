// Where the golden text vectors and the tokenizers they speak of are found, and how they are read. A folder that is not there
// is a skip that names it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/status.h"
#include "text/tokenizer.h"

namespace drover::text {

// The shared corpus, or the small part of it that is in the repository.
std::filesystem::path SharedText();
std::filesystem::path RepositoryText();

// One JSON value per line; stops the test on anything else.
std::vector<Json> ReadLines(const std::filesystem::path& path);

std::string ReadAll(const std::filesystem::path& path);

// A folder of features/: the kind follows from its files.
absl::StatusOr<Tokenizer> LoadFeature(const std::filesystem::path& folder);
// Those of the shared corpus, or of the repository.
std::vector<std::filesystem::path> FeatureFolders();

// The tokenizers of real models. Their files come from tools/fetch_text_packages.py (build/text-packages).
struct RealTokenizer {
  const char* name;
  const char* file;
  std::filesystem::path path() const;
};
std::vector<RealTokenizer> RealTokenizers();
absl::StatusOr<Tokenizer> LoadReal(const RealTokenizer& real);

// Differences found by running the vectors; empty when all hold. At most a few are listed in full.
struct Outcome {
  int64_t checked = 0, failed = 0;
  std::string first_failures;
};
Outcome CheckVectors(const Tokenizer& tokenizer, const std::vector<Json>& rows);

// One line of detokenize.jsonl: what is wrong with one-shot decoding or with the stream, or "".
std::string CheckStream(const Tokenizer& tokenizer, const Json& row);

// What a template gave against a row with "expected" or "error": what is wrong, or "".
std::string JudgeTemplate(const Json& row, const absl::StatusOr<std::string>& got);

}  // namespace drover::text
