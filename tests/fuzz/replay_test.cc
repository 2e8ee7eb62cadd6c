// Runs one fuzz target over its stored inputs, and over every truncation of the small ones, as an ordinary test.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kSmall = 2048;

TEST(Corpus, EveryInputIsHandled) {
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DROVER_SOURCE_DIR "/tests/testdata/fuzz/" DROVER_CORPUS)) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const auto* data = static_cast<const uint8_t*>(static_cast<const void*>(bytes.data()));
    EXPECT_EQ(LLVMFuzzerTestOneInput(data, bytes.size()), 0) << entry.path();
    for (size_t cut = 0; bytes.size() <= kSmall && cut < bytes.size(); ++cut) EXPECT_EQ(LLVMFuzzerTestOneInput(data, cut), 0);
    ++inputs;
  }
  EXPECT_GT(inputs, 0) << "no inputs under tests/testdata/fuzz/" DROVER_CORPUS;
}

}  // namespace
