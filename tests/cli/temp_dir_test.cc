// Folders of runs: gone with their owner, or with the next run when the owner was killed.
#include "cli/temp_dir.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace drover {
namespace {

// The folder of a process that ended without cleaning up.
std::string FolderOfADeadProcess() {
  int report[2];
  EXPECT_EQ(pipe(report), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    const absl::StatusOr<TempDir> folder = TempDir::Create();
    if (folder.ok()) {
      std::ofstream(folder->path() + "/segment") << "left behind";
      [[maybe_unused]] const ssize_t written = write(report[1], folder->path().data(), folder->path().size());
    }
    _exit(0);
  }
  close(report[1]);
  char path[256] = {};
  EXPECT_GT(read(report[0], path, sizeof path - 1), 0);
  close(report[0]);
  waitpid(pid, nullptr, 0);
  return path;
}

TEST(TempDir, GoesWithItsOwner) {
  std::string path;
  {
    const absl::StatusOr<TempDir> folder = TempDir::Create();
    ASSERT_TRUE(folder.ok()) << folder.status();
    path = folder->path();
    EXPECT_TRUE(std::filesystem::is_directory(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TempDir, TheNextRunRemovesWhatAKilledOneLeft) {
  const absl::StatusOr<TempDir> living = TempDir::Create();
  const std::string dead = FolderOfADeadProcess();
  ASSERT_TRUE(living.ok());
  ASSERT_TRUE(std::filesystem::exists(dead + "/segment")) << dead;

  const absl::StatusOr<TempDir> next = TempDir::Create();

  EXPECT_FALSE(std::filesystem::exists(dead));
  EXPECT_TRUE(std::filesystem::exists(living->path()));
}

}  // namespace
}  // namespace drover
