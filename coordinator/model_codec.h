// TextCodec over the tokenizer and the chat template of a model's files.
#pragma once

#include <memory>

#include "coordinator/text_codec.h"
#include "text/model_text.h"
#include "text/prompt.h"

namespace drover {

// Serves what `model` has: without a tokenizer, token ids only; without a template, no chats. Texts far too long for a window of
// `max_model_len` tokens are kInvalidArgument before they are read.
std::unique_ptr<TextCodec> MakeModelCodec(text::ModelText model, text::TemplateMode mode, int64_t max_model_len);

}  // namespace drover
