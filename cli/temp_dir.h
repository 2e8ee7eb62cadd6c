// A fresh folder for files of one run, in memory where it can be, removed with its contents at the end.
#pragma once

#include <string>

#include "common/status.h"

namespace drover {

class TempDir {
 public:
  static absl::StatusOr<TempDir> Create();
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace drover
