// See temp_dir.h.
#include "cli/temp_dir.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace drover {

absl::StatusOr<TempDir> TempDir::Create() {
  std::string in_memory = "/dev/shm/drover.XXXXXX";
  if (mkdtemp(in_memory.data()) != nullptr) return TempDir(in_memory);
  std::error_code error;
  std::string path = (std::filesystem::temp_directory_path(error) / "drover.XXXXXX").string();
  if (error) return NotFound("no folder for temporary files: ", error.message());
  if (mkdtemp(path.data()) == nullptr) return FailedPrecondition("cannot make ", path, ": ", strerror(errno));
  return TempDir(path);
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, "")) {}

TempDir::~TempDir() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace drover
