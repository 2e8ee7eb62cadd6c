// TextCodec over the tokenizer and the chat template of a model's files.
#pragma once

#include <memory>

#include "coordinator/client_request.h"
#include "coordinator/text_codec.h"
#include "text/model_text.h"
#include "text/prompt.h"

namespace drover {

// Serves what `model` has: without a tokenizer, token ids only; without a template, no chats. Texts far too long for the
// model's window are kInvalidArgument before they are read. Of `info` only the vocabulary, the window and the end ids are looked at.
std::unique_ptr<TextCodec> MakeModelCodec(text::ModelText model, text::TemplateMode mode, const ModelInfo& info);

}  // namespace drover
