// A fresh folder for files of one run, in memory where it can be, removed with its contents at the end. A run that was killed
// leaves its folder behind; the next run removes it.
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
  TempDir(std::string path, int owner) : path_(std::move(path)), owner_(owner) {}
  std::string path_;
  int owner_ = -1;  // a locked file in it: the kernel unlocks it when this process ends, however it ends
};

}  // namespace drover
