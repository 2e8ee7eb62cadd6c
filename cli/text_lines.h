// The engines of `drover tokenize` and `drover render`: JSON lines in, JSON lines out. A line that cannot be answered gives
// {"error": "..."} and the next one is read. Pure functions on streams.
#pragma once

#include <functional>
#include <istream>
#include <map>
#include <ostream>
#include <string>

#include "common/status.h"
#include "common/vocabulary.h"
#include "text/model_text.h"

namespace drover {

// {"text", "add_special_tokens": true, "parse_special": false} -> {"ids"}; {"ids", "skip_special_tokens": false} -> {"text"}.
// Gives back the number of lines that were errors.
int RunTokenizeLines(const text::Tokenizer& tokenizer, std::istream& in, std::ostream& out);

// {"messages", "tools", "documents", "add_generation_prompt", "now", "kwargs": {...}, ...} -> {"prompt"}. "kwargs" and every other
// member are template variables; `special_tokens` of the model come first, a line may name others.
int RunRenderLines(const text::ChatTemplate& chat_template, const std::map<std::string, std::string>& special_tokens,
                   std::istream& in, std::ostream& out);

// Reads the vocabulary of a GGUF file; passed in, since this file knows no GGUF.
using VocabularyReader = std::function<absl::StatusOr<Vocabulary>(const std::string& path)>;

// A model directory, a .gguf file, a tokenizer file, or (for rendering) a .jinja template.
absl::StatusOr<text::ModelText> OpenText(const std::string& path, const VocabularyReader& read_vocabulary);

}  // namespace drover
