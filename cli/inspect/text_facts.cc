// See text_facts.h.
#include "cli/inspect/text_facts.h"

#include <algorithm>

#include "models/checkpoint/text.h"
#include "text/model_text.h"

namespace drover {
namespace {

constexpr size_t kTokenBytes = 60, kTemplateBytes = 100;

void AddEnds(std::vector<int32_t> ids, const text::ModelText& text, TextFacts& out) {
  ids.insert(ids.end(), text.end_ids.begin(), text.end_ids.end());
  for (const int32_t id : ids) {
    if (std::ranges::find(out.ends, id, &NamedToken::id) != out.ends.end()) continue;
    out.ends.push_back({id, {}});
    if (!text.tokenizer) continue;
    if (const auto piece = text.tokenizer->IdToPiece(id); piece.ok()) out.ends.back().text = Printable(*piece, kTokenBytes);
  }
}

TextFacts Describe(const absl::StatusOr<text::ModelText>& text, const std::vector<int32_t>& end_ids, const std::string& place) {
  TextFacts out;
  if (!text.ok()) {
    out.error = Message(text.status());
    return out;
  }
  if (text->tokenizer) {
    out.tokenizer = text->tokenizer_file.empty() ? place : text->tokenizer_file;
    out.kind = text->tokenizer->kind();
    out.vocabulary = text->tokenizer->VocabSize();
    out.special_tokens = static_cast<int64_t>(text->tokenizer->special_tokens().size());
  }
  for (const auto& [role, token] : text->special_tokens) out.roles[role] = Printable(token, kTokenBytes);
  AddEnds(end_ids, *text, out);
  if (text->chat_template) {
    out.template_from = text->template_file.empty() ? "GGUF metadata" : text->template_file;
    std::string start = text->template_source.substr(0, 2 * kTemplateBytes);
    std::ranges::replace(start, '\n', ' ');
    out.template_start = Printable(start, kTemplateBytes);
    out.template_bytes = static_cast<int64_t>(text->template_source.size());
  }
  for (const auto& [name, parsed] : text->named_templates) out.named_templates.push_back(Printable(name, kTokenBytes));
  return out;
}

}  // namespace

TextFacts ReadTextFacts(const std::string& folder, const std::vector<int32_t>& end_ids) {
  TextFacts out = Describe(text::LoadModelText(folder), end_ids, folder);
  if (out.error.starts_with(folder + "/")) out.error.erase(0, folder.size() + 1);
  return out;
}

TextFacts ReadTextFacts(const std::optional<Vocabulary>& vocabulary, const std::vector<int32_t>& end_ids) {
  if (!vocabulary) return Describe(text::ModelText{}, end_ids, "");
  const std::string pre = vocabulary->pre.empty() ? "" : ", " + vocabulary->pre;
  return Describe(text::ModelTextFromVocabulary(*vocabulary), end_ids, Printable(Cat("GGUF metadata (", vocabulary->model, pre, ")"), kTokenBytes));
}

}  // namespace drover
