// StreamDecoder: pieces and their limits.
#include "text/stream_decoder.h"

#include <gtest/gtest.h>

namespace drover::text {
namespace {

constexpr char kBytes[] = R"({"version":"1.0","added_tokens":[],"normalizer":null,
  "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,
  "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
  "model":{"type":"BPE","vocab":{"a":0,"Ã":1,"©":2},"merges":[]}})";

TEST(StreamDecoder, HoldsBackTheFirstHalfOfACharacter) {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(kBytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  StreamDecoder stream(*tokenizer, true);
  EXPECT_EQ(*stream.Push(0), "a");
  EXPECT_EQ(*stream.Push(1), "");
  EXPECT_EQ(*stream.Push(2), "é");
  EXPECT_EQ(*stream.Push(1), "");
  EXPECT_EQ(*stream.Finish(), "\xef\xbf\xbd");
}

TEST(StreamDecoder, RefusesIdsOutsideTheVocabulary) {
  absl::StatusOr<Tokenizer> tokenizer = Tokenizer::FromJson(kBytes);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  StreamDecoder stream(*tokenizer, true);
  EXPECT_EQ(stream.Push(3).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(stream.Push(-1).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace drover::text
