// What clients' texts and models' ids may cost or break: limits are the client's error, ids without text are no error.
#include "coordinator/model_codec.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

text::ModelText ByteLevel() {
  absl::StatusOr<text::Tokenizer> tokenizer =
      text::LoadTokenizerFile(DROVER_SOURCE_DIR "/tests/testdata/text/features/bytelevel_gpt2/tokenizer.json");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  text::ModelText text;
  text.tokenizer = *std::move(tokenizer);
  return text;
}

TEST(ModelCodec, AnIdBeyondTheTokenizersVocabularyHasNoText) {
  const std::unique_ptr<TextCodec> codec = MakeModelCodec(ByteLevel(), text::TemplateMode::kSafe, {.vocab = 300, .max_model_len = 4096});
  const absl::StatusOr<std::vector<int32_t>> ids = codec->Encode("a b", false, false);
  ASSERT_TRUE(ids.ok()) << ids.status();
  absl::StatusOr<std::unique_ptr<TextStream>> stream = codec->NewStream(true);
  ASSERT_TRUE(stream.ok());
  std::string text;
  for (const int32_t id : *ids) {
    const absl::StatusOr<std::string> padding = (*stream)->Append(1 << 20);  // models are padded to round sizes
    ASSERT_TRUE(padding.ok()) << padding.status();
    text += *padding + *(*stream)->Append(id);
  }
  EXPECT_EQ(text + *(*stream)->Finish(), "a b");
}

TEST(ModelCodec, ATextFarBeyondTheWindowIsTheClientsErrorAndNotRead) {
  const std::unique_ptr<TextCodec> codec = MakeModelCodec(ByteLevel(), text::TemplateMode::kSafe, {.vocab = 300, .max_model_len = 512});
  EXPECT_TRUE(codec->Encode(std::string(1000, 'a'), false, false).ok());
  EXPECT_EQ(codec->Encode(std::string(2 << 20, 'a'), false, false).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace drover
