// Checkpoint: the tensors of a model and where their bytes lie, for Hugging Face directories (safetensors, sharded index) and
// GGUF files alike. Only headers are read here; worker/weights reads ranges.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/dtype.h"
#include "common/json.h"
#include "common/status.h"
#include "common/vocabulary.h"
#include "models/quantization.h"
#include "models/spec.h"

namespace drover {

// Shape is outermost first (rows, columns), also for GGUF. Offsets are absolute in the file.
struct TensorInfo {
  std::string name;  // as the file spells it
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int32_t file = 0;  // index into Checkpoint::files
  int64_t offset = 0;
  int64_t bytes = 0;
};

struct GgufArchitecture;

enum class CheckpointForm { kConfigOnly, kSafetensors, kGguf };

struct Checkpoint {
  CheckpointForm form = CheckpointForm::kConfigOnly;
  std::string path;                 // what the caller named
  std::string name;                 // short name for people: directory or file stem
  std::vector<std::string> files;   // absolute or as reached from `path`
  std::map<std::string, TensorInfo> tensors;
  ModelSpec spec;
  std::optional<Quantization> quantization;  // of Hugging Face configs; GGUF types say it themselves
  const GgufArchitecture* gguf = nullptr;    // how a GGUF file's writers name and order tensors (gguf_architecture.h)
  std::optional<Vocabulary> vocabulary;  // GGUF only
  int64_t file_bytes = 0;                // sum over files
  std::vector<std::string> stamps;       // of files: File::Stamp

  // The directory with the files beside the weights; empty for GGUF, which has none.
  std::string Folder() const;
};

// Opens a directory with config.json (weights optional: kConfigOnly without), a config.json itself, or a .gguf file; reads
// headers and the spec, and runs the checks of the format. Errors name file and field.
absl::StatusOr<Checkpoint> OpenCheckpoint(const std::string& path);

}  // namespace drover
