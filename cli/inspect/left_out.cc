// See left_out.h.
#include "cli/inspect/left_out.h"

#include "coordinator/planner.h"
#include "models/checkpoint/names.h"
#include "models/checkpoint/packed.h"
#include "models/checkpoint/text.h"

namespace drover {
namespace {

struct Unread {
  int64_t tensors = 0, bytes = 0;
  std::string first;

  void Add(const TensorInfo& tensor) {
    if (tensors++ == 0) first = tensor.name;
    bytes += tensor.bytes;
  }
  std::string Text(std::string_view what) const {
    return Cat(tensors, " ", what, tensors == 1 ? ", " : ", the first ", Printable(first, 80), " (", FormatBytes(bytes), ")");
  }
};

// Tensors that the checks of a checkpoint let pass and that no rank reads.
void AddUnreadTensors(const Checkpoint& checkpoint, std::vector<std::string>& out) {
  Unread parts, scales;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (IsIgnoredTensor(name, checkpoint.spec)) parts.Add(tensor);
    else if (checkpoint.quantization && IsActivationScale(name)) scales.Add(tensor);
  }
  if (parts.tensors > 0) out.push_back(Cat("tensors that are not read: ", parts.Text(parts.tensors == 1 ? "tensor" : "tensors")));
  if (scales.tensors > 0) out.push_back(Cat("scales of activations and caches, which stay in f32: ", scales.Text("tensors")));
}

// Whether a quantization_config speaks of activations or of the cache.
bool WantsMore(const Json& config) {
  if (config.is_array())
    for (const Json& entry : config)
      if (WantsMore(entry)) return true;
  if (!config.is_object()) return false;
  for (const auto& [key, value] : config.items()) {
    const bool names = key == "activation_scheme" || key == "input_activations" || key == "kv_cache_scheme";
    if (names && !value.is_null()) return true;
    if (WantsMore(value)) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> LeftOut(const Checkpoint& checkpoint, const Json& config, const std::vector<std::string>& not_applied) {
  const ModelSpec& spec = checkpoint.spec;
  std::vector<std::string> out;
  for (const std::string& part : spec.not_served) out.push_back(part);
  if (spec.draft_layers > 0)
    out.push_back(Cat("multi-token prediction: ", spec.draft_layers, spec.draft_layers == 1 ? " layer" : " layers", " behind the last one"));
  AddUnreadTensors(checkpoint, out);
  if (checkpoint.quantization && WantsMore(config))
    out.push_back("quantised activations and caches: the config asks for them, compute and cache stay in f32");
  if (config.is_object() && config.contains("auto_map")) out.push_back("code of the model's own (auto_map): none is run from a model directory");
  std::string keys;
  for (const std::string& key : not_applied) keys += Cat(keys.empty() ? "" : ", ", Printable(key, 60));
  if (!keys.empty()) out.push_back(Cat("settings of generation_config.json that are not applied: ", keys));
  return out;
}

}  // namespace drover
