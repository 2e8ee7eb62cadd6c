// libFuzzer: a grammar of any bytes is refused or allows ids, of which any may come, without a crash.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "text/grammar.h"
#include "text/model_text.h"

namespace {

using drover::text::Grammar;
using drover::text::GrammarTokens;

std::shared_ptr<const GrammarTokens> MakeTokens() {
  const auto tokenizer =
      drover::text::LoadTokenizerFile(DROVER_SOURCE_DIR "/tests/testdata/text/features/bytelevel_gpt2/tokenizer.json");
  const std::vector<int32_t> ends = {0};
  return *GrammarTokens::Create(*tokenizer, tokenizer->VocabSize() + 3, ends);
}

drover::GrammarKind KindOf(uint8_t letter) {
  if (letter == 'r') return drover::GrammarKind::kRegex;
  return letter == 'l' ? drover::GrammarKind::kLark : drover::GrammarKind::kJsonSchema;
}

}  // namespace

// The first byte is the kind: j, r or l.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const GrammarTokens> tokens = MakeTokens();
  if (size == 0) return 0;
  const auto grammar = Grammar::Create(tokens, {KindOf(data[0]), std::string(data + 1, data + size)});
  if (!grammar.ok()) return 0;
  std::vector<uint32_t> words(static_cast<size_t>(drover::MaskWords(tokens->vocab())));
  for (uint32_t step = 1; step < 20 && !(*grammar)->ended() && (*grammar)->Allow(words).ok(); ++step) {
    const uint32_t from = step * 7919 % static_cast<uint32_t>(tokens->vocab());
    uint32_t id = from;
    do id = (id + 1) % static_cast<uint32_t>(tokens->vocab());
    while (id != from && (words[id / 32] >> (id % 32) & 1) == 0);
    if (!(*grammar)->Accept(static_cast<int32_t>(id)).ok()) break;
  }
  return 0;
}
