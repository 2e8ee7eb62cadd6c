// See temp_dir.h.
#include "cli/temp_dir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace drover {
namespace {

constexpr const char* kInMemory = "/dev/shm";
constexpr std::string_view kPrefix = "drover.", kPattern = "drover.XXXXXX";
constexpr const char* kOwner = "/owner";

// Removes the folders of this user whose owners have died. One without an owner's file is just being made.
void Sweep(const std::string& base) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(base, ignored)) {
    const std::string name = entry.path().filename(), path = entry.path();
    struct stat info = {};
    if (name.size() != kPattern.size() || !name.starts_with(kPrefix)) continue;
    if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid()) continue;
    const int owner = open((path + kOwner).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (owner < 0) continue;
    if (flock(owner, LOCK_EX | LOCK_NB) == 0) std::filesystem::remove_all(path, ignored);
    close(owner);
  }
}

}  // namespace

absl::StatusOr<TempDir> TempDir::Create() {
  std::error_code error;
  std::string base = kInMemory, path = Cat(base, "/", kPattern);
  if (mkdtemp(path.data()) == nullptr) {
    base = std::filesystem::temp_directory_path(error);
    if (error) return NotFound("no folder for temporary files: ", error.message());
    path = Cat(base, "/", kPattern);
    if (mkdtemp(path.data()) == nullptr) return FailedPrecondition("cannot make ", path, ": ", strerror(errno));
  }
  // Locked before it has its name: a sweep never finds it unlocked while its owner lives.
  const std::string making = path + "/making";
  const int owner = open(making.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (owner < 0 || flock(owner, LOCK_EX | LOCK_NB) != 0 || rename(making.c_str(), (path + kOwner).c_str()) != 0)
    return FailedPrecondition("cannot make ", path, kOwner, ": ", strerror(errno));
  Sweep(base);
  return TempDir(path, owner);
}

TempDir::TempDir(TempDir&& other) noexcept
    : path_(std::exchange(other.path_, "")), owner_(std::exchange(other.owner_, -1)) {}

TempDir::~TempDir() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  close(owner_);
}

}  // namespace drover
