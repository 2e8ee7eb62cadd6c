// Reading by range: bounds, kinds of files, and files that end early.
#include "common/file.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>

namespace drover {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "drover_file_test.bin";
    std::ofstream(path_) << "0123456789";
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_;
};

TEST_F(FileTest, ReadsARange) {
  const absl::StatusOr<File> file = File::Open(path_);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->size(), 10);
  std::array<std::byte, 3> out;
  ASSERT_TRUE(file->ReadAt(4, out).ok());
  EXPECT_EQ(static_cast<char>(out[0]), '4');
  EXPECT_EQ(static_cast<char>(out[2]), '6');
}

TEST_F(FileTest, SaysWhereAFileEnds) {
  const absl::StatusOr<File> file = File::Open(path_);
  std::array<std::byte, 4> out;
  const absl::Status status = file->ReadAt(8, out);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(Message(status).find("ends at byte 10"), std::string::npos) << status;
}

TEST_F(FileTest, RefusesDirectoriesDevicesAndLargeFiles) {
  EXPECT_EQ(File::Open(testing::TempDir()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(File::Open("/dev/null").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadFile(path_, 9).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(*ReadFile(path_, 10), "0123456789");
}

}  // namespace
}  // namespace drover
