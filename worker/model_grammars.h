// The grammars of a model's requests, over its own tokenizer.
#pragma once

#include <string>

#include "worker/grammar.h"

namespace drover {

// The tokenizer of the model at `path` is read for the first grammar.
GrammarMaker MakeModelGrammars(const std::string& path);

}  // namespace drover
