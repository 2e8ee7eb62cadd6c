// How a model's tensors are stored: element types in the files, and the forms in which Drover keeps its matrices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/checkpoint/checkpoint.h"

namespace drover {

struct StoredType {
  int64_t tensors = 0, values = 0, bytes = 0;
};

struct HeldForm {
  std::string form;  // "bf16", "f8_e4m3 in 128x128 blocks", "u4 in groups of 128, act-order"
  int64_t weights = 0, values = 0, bytes = 0;
};

struct StorageFacts {
  std::string container;   // "safetensors", "gguf", "config only"
  std::string method;      // quant_method of the config; empty: none
  int64_t files = 0, file_bytes = 0;
  std::map<std::string, StoredType> types;  // of the files, by name
  std::vector<HeldForm> held;               // the most bytes first; empty when the model is refused
  std::string named_type;                   // torch_dtype of the config
};

StorageFacts StorageOf(const Checkpoint& checkpoint);

// Of files that make no served model: headers that can be read count, others do not.
StorageFacts StorageOfFiles(const std::string& path);

}  // namespace drover
