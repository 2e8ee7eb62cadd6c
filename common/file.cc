// See file.h.
#include "common/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace drover {

absl::StatusOr<File> File::Open(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return NotFound(path, ": no such file");
    return FailedPrecondition(path, ": cannot open: ", std::strerror(errno));
  }
  struct stat info = {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    return InvalidArgument(path, ": not a regular file");
  }
  return File(path, descriptor, info.st_size, int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      changed_ns_(other.changed_ns_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(changed_ns_, other.changed_ns_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

std::string File::Stamp() const { return Cat(path_, "|", size_, "|", changed_ns_); }

absl::Status File::ReadAt(int64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = pread(descriptor_, out.data() + done, out.size() - done, offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DataLoss(path_, ": cannot read: ", std::strerror(errno));
    if (got == 0)
      return DataLoss(path_, ": ends at byte ", offset + static_cast<int64_t>(done), ", expected ", out.size(),
                      " bytes from ", offset);
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(path));
  if (file.size() > max_bytes)
    return ResourceExhausted(path, ": ", file.size(), " bytes are more than the limit of ", max_bytes);
  std::string text(static_cast<size_t>(file.size()), '\0');
  DROVER_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  return text;
}

}  // namespace drover
