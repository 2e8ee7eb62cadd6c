// See golden_text.h.
#include "tests/text/golden_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "text/model_text.h"
#include "text/stream_decoder.h"

namespace drover::text {

namespace fs = std::filesystem;

fs::path SharedText() { return fs::path(DROVER_SHARED_DIR) / "golden_text"; }
fs::path RepositoryText() { return fs::path(DROVER_SOURCE_DIR) / "tests/testdata/text"; }

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

std::vector<Json> ReadLines(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    absl::StatusOr<Json> row = ParseJson(line);
    EXPECT_TRUE(row.ok()) << path << ": " << row.status();
    if (row.ok()) rows.push_back(*std::move(row));
  }
  return rows;
}

absl::StatusOr<Tokenizer> LoadFeature(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tekken.json", "tiktoken.model"})
    if (fs::exists(folder / name)) return LoadTokenizerFile(folder / name);
  return NotFound(folder.string(), ": no tokenizer file");
}

std::vector<fs::path> FeatureFolders() {
  std::vector<fs::path> folders;
  const auto root = fs::exists(SharedText() / "features") ? SharedText() / "features" : RepositoryText() / "features";
  for (const auto& entry : fs::directory_iterator(root)) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

fs::path RealTokenizer::path() const { return fs::path(DROVER_SOURCE_DIR) / "build/text-packages" / name / file; }

std::vector<RealTokenizer> RealTokenizers() {
  return {
    {"mistral_v1_json", "tokenizer.json"}, {"llama3", "tokenizer.json"}, {"llama3_1", "tokenizer.json"},
    {"qwen3", "tokenizer.json"}, {"deepseek_v3", "tokenizer.json"}, {"gemma3", "tokenizer.json"},
    {"gptoss", "tokenizer.json"}, {"gpt4o", "tokenizer.json"}, {"deepseek_v4", "tokenizer.json"},
    {"minilm_bert", "tokenizer.json"}, {"mon_unigram", "mon_tokenizer.json"}, {"mistral_v1", "tokenizer.model.v1"},
    {"mistral_v2", "mistral_instruct_tokenizer_240216.model.v2"}, {"mistral_v3", "mistral_instruct_tokenizer_240323.model.v3"},
    {"mistral_v7", "mistral_instruct_tokenizer_241114.model.v7"}, {"tekken_240718", "tekken_240718.json"},
    {"tekken_240911", "tekken_240911.json"}, {"llama3_tiktoken", "converted.json"}, {"llama4_tiktoken", "converted.json"},
    {"qwen_tiktoken", "converted.json"}, {"qwen3_6_tiktoken", "converted.json"}, {"llama2", "converted.json"},
    {"gpt2", "converted.json"}, {"smollm2", "vocabulary.json"}};
}

namespace {

// {"ranks": file, "config": {...}}: a tiktoken file with what its family's code adds, or {"vocabulary": {...}}, or a tokenizer.json.
absl::StatusOr<Tokenizer> LoadConverted(const fs::path& path) {
  DROVER_ASSIGN_OR_RETURN(const Json file, ReadJsonFile(path.string(), {.bytes = 64 << 20, .depth = 16, .elements = 4'000'000}));
  if (file.contains("ranks"))
    return Tokenizer::FromTiktoken(ReadAll(path.parent_path() / file["ranks"].get<std::string>()), file["config"].dump());
  if (!file.contains("tokens")) return Tokenizer::FromJson(file.dump());
  Vocabulary vocabulary;
  vocabulary.model = file["model"].get<std::string>();
  vocabulary.pre = file["pre"].get<std::string>();
  vocabulary.tokens = file["tokens"].get<std::vector<std::string>>();
  vocabulary.merges = file["merges"].get<std::vector<std::string>>();
  for (const Json& type : file["types"]) vocabulary.types.push_back(static_cast<TokenType>(type.get<int32_t>()));
  vocabulary.eos = file["eos"].get<int32_t>();
  return Tokenizer::FromVocabulary(vocabulary);
}

}  // namespace

absl::StatusOr<Tokenizer> LoadReal(const RealTokenizer& real) {
  const std::string name = real.file;
  return name == "converted.json" || name == "vocabulary.json" ? LoadConverted(real.path()) : LoadTokenizerFile(real.path().string());
}

Outcome CheckVectors(const Tokenizer& tokenizer, const std::vector<Json>& rows) {
  Outcome outcome;
  const auto fail = [&outcome](const Json& row, const std::string& what) {
    if (++outcome.failed <= 5) outcome.first_failures += what + "\n  in " + row.dump(-1, ' ', true).substr(0, 500) + "\n";
  };
  for (const Json& row : rows) {
    ++outcome.checked;
    const auto ids = row["ids"].get<std::vector<int32_t>>();
    if (!row.value("decode_only", false)) {
      const EncodeOptions options = {row["add_special_tokens"].get<bool>(), row["parse_special"].get<bool>()};
      const auto text = row["text"].get<std::string>();
      const absl::StatusOr<std::vector<int32_t>> got =
          row.contains("pair") ? tokenizer.EncodePair(text, row["pair"].get<std::string>(), options) : tokenizer.Encode(text, options);
      if (!got.ok() || *got != ids) {
        fail(row, got.ok() ? "encoded " + Json(*got).dump() : Message(got.status()));
        continue;
      }
    }
    for (const bool skip : {false, true}) {
      const char* key = skip ? "decoded_skip" : "decoded";
      const Json want = row.contains(key) ? row[key] : row.value("text", Json());
      if (want.is_null()) continue;  // the reference has no answer
      const absl::StatusOr<std::string> got = tokenizer.Decode(ids, skip);
      if (!got.ok() || *got != want.get<std::string>()) {
        fail(row, Cat(key, ": ", got.ok() ? *got : Message(got.status())));
        break;
      }
    }
  }
  return outcome;
}

namespace {

// Whole characters only.
bool IsUtf8(const std::string& text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    if (size == 0 || at + size > text.size()) return false;
    for (size_t i = 1; i < size; ++i)
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
    at += size;
  }
  return true;
}

std::string WithoutTrailingReplacements(std::string text) {
  while (text.ends_with("\xef\xbf\xbd")) text.resize(text.size() - 3);
  return text;
}

}  // namespace

std::string CheckStream(const Tokenizer& tokenizer, const Json& row) {
  const auto ids = row["ids"].get<std::vector<int32_t>>();
  const bool skip = row["skip_special_tokens"].get<bool>();
  const auto text = row["text"].get<std::string>();
  const absl::StatusOr<std::string> whole = tokenizer.Decode(ids, skip);
  if (!whole.ok() || *whole != text) return Cat("one-shot decoding gives ", whole.ok() ? *whole : Message(whole.status()));
  const bool judged = !row["pieces"].is_null();
  StreamDecoder stream(tokenizer, skip);
  std::string sent, wanted;
  for (size_t i = 0; i < ids.size(); ++i) {
    const absl::StatusOr<std::string> piece = stream.Push(ids[i]);
    if (!piece.ok()) return Message(piece.status());
    if (!IsUtf8(*piece)) return Cat("piece ", i, " holds a part of a character");
    sent += *piece;
    if (!judged) continue;
    wanted += row["pieces"][i].get<std::string>();
    if (!text.starts_with(sent)) return Cat("after piece ", i, " the stream is no prefix of the text: ", sent);
    // As early as the reference, which keeps trailing replacement characters back.
    if (!sent.starts_with(WithoutTrailingReplacements(wanted))) return Cat("piece ", i, " comes late: ", sent, " against ", wanted);
  }
  const absl::StatusOr<std::string> rest = stream.Finish();
  if (!rest.ok()) return Message(rest.status());
  sent += *rest;
  if (!IsUtf8(sent)) return "the stream is not UTF-8";
  return judged && sent != text ? Cat("the stream gives ", sent) : "";
}

std::string JudgeTemplate(const Json& row, const absl::StatusOr<std::string>& got) {
  if (row.contains("expected")) {
    if (!got.ok()) return Message(got.status());
    return *got == row["expected"].get<std::string>() ? "" : "rendered " + *got;
  }
  const auto kind = row["error"]["kind"].get<std::string>();
  const auto message = row["error"]["message"].get<std::string>();
  if (got.ok()) return Cat("expected the error ", kind, ", rendered ", *got);
  if (kind == "raised" && (got.status().code() != absl::StatusCode::kFailedPrecondition || Message(got.status()) != message))
    return Cat("expected ", message, ", found ", Message(got.status()));
  if ((kind == "syntax" || kind == "undefined") && Message(got.status()).find(kind) == std::string::npos)
    return Cat("expected a message of kind ", kind, ", found ", Message(got.status()));
  return "";
}

}  // namespace drover::text
