// Reading files by range, with bounds. No mapping: a mapped file that shrinks kills the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/status.h"

namespace drover {

// A regular file open for reading; ranges may be read from any thread.
class File {
 public:
  // Errors name the path; directories, devices and pipes are refused.
  static absl::StatusOr<File> Open(const std::string& path);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  // Which bytes these are, as far as the file system tells without reading them: path, size and time of change.
  std::string Stamp() const;
  // Fills `out` from `offset`; kDataLoss when the file ends before.
  absl::Status ReadAt(int64_t offset, std::span<std::byte> out) const;

 private:
  File(std::string path, int descriptor, int64_t size, int64_t changed_ns)
      : path_(std::move(path)), descriptor_(descriptor), size_(size), changed_ns_(changed_ns) {}
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  int64_t changed_ns_ = 0;  // mtime
};

// The whole file as a string; kResourceExhausted above `max_bytes`, kNotFound when absent.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace drover
