// See reference.h.
#include "models/checkpoint/reference.h"

#include <algorithm>
#include <map>

#include "common/file.h"
#include "common/json.h"
#include "models/checkpoint/safetensors_header.h"

namespace drover {
namespace {

constexpr int64_t kPromptsMax = 10'000;
constexpr int64_t kVocabMax = 10'000'000;
constexpr int64_t kTensorBytesMax = int64_t{4} << 30;
constexpr JsonLimits kJsonLimits{.bytes = 64 << 20, .depth = 32, .elements = 4'000'000};

// The tensors of a safetensors file, read by name and shape.
class Tensors {
 public:
  static absl::StatusOr<Tensors> Open(const std::string& path) {
    DROVER_ASSIGN_OR_RETURN(File file, File::Open(path));
    DROVER_ASSIGN_OR_RETURN(std::vector<TensorInfo> infos, ReadSafetensorsHeader(file));
    Tensors tensors(std::move(file));
    for (TensorInfo& info : infos) {
      std::string name = info.name;
      tensors.infos_.emplace(std::move(name), std::move(info));
    }
    return tensors;
  }

  bool Has(const std::string& name) const { return infos_.contains(name); }

  // A tensor of exactly this dtype and shape; a wanted dimension of -1 takes any. Fills `shape` with what was found.
  template <class T>
  absl::StatusOr<std::vector<T>> Read(const std::string& name, DType dtype, std::vector<int64_t>& shape) const {
    const auto found = infos_.find(name);
    if (found == infos_.end()) return InvalidArgument("tensor ", name, " is missing");
    const TensorInfo& info = found->second;
    bool fits = info.dtype == dtype && info.shape.size() == shape.size() && info.bytes <= kTensorBytesMax;
    for (size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || shape[i] == info.shape[i];
    if (!fits) return InvalidArgument("tensor ", name, ": found ", Shape(info.dtype, info.shape), ", expected ", Shape(dtype, shape));
    shape = info.shape;
    std::vector<T> values(static_cast<size_t>(info.bytes) / sizeof(T));
    DROVER_RETURN_IF_ERROR(file_.ReadAt(info.offset, std::as_writable_bytes(std::span(values))));
    return values;
  }

 private:
  explicit Tensors(File file) : file_(std::move(file)) {}
  static std::string Shape(DType dtype, const std::vector<int64_t>& shape) {
    std::string text = Cat(Name(dtype), " [");
    for (size_t i = 0; i < shape.size(); ++i) text += Cat(i == 0 ? "" : ", ", shape[i] < 0 ? "any" : Cat(shape[i]));
    return text + "]";
  }

  File file_;
  std::map<std::string, TensorInfo> infos_;
};

absl::Status CheckIds(const std::vector<int32_t>& ids, int64_t vocab, const std::string& where) {
  if (ids.empty()) return InvalidArgument(where, ": found no ids, expected at least one");
  for (const int32_t id : ids)
    if (id < 0 || (vocab > 0 && id >= vocab)) return InvalidArgument(where, ": found id ", id, ", expected 0 to ", vocab - 1);
  return absl::OkStatus();
}

absl::StatusOr<ReferencePrompt> ReadPrompt(const Tensors& tensors, int64_t index, int64_t& vocab) {
  const std::string prompt = Cat("prompt.", index), greedy = Cat("greedy.", index);
  ReferencePrompt result;
  result.name = Cat("prompt ", index);
  std::vector<int64_t> count = {-1}, steps = {-1};
  DROVER_ASSIGN_OR_RETURN(result.ids, tensors.Read<int32_t>(prompt + ".ids", DType::kI32, count));
  std::vector<int64_t> shape = {count[0], vocab};
  DROVER_ASSIGN_OR_RETURN(result.logits, tensors.Read<float>(prompt + ".logits", DType::kF32, shape));
  vocab = shape[1];
  if (vocab < 1 || vocab > kVocabMax) return InvalidArgument(prompt, ".logits: found a vocabulary of ", vocab);
  DROVER_RETURN_IF_ERROR(CheckIds(result.ids, vocab, prompt + ".ids"));
  DROVER_ASSIGN_OR_RETURN(result.greedy_ids, tensors.Read<int32_t>(greedy + ".ids", DType::kI32, steps));
  DROVER_RETURN_IF_ERROR(CheckIds(result.greedy_ids, vocab, greedy + ".ids"));
  shape = {steps[0], vocab};
  DROVER_ASSIGN_OR_RETURN(result.greedy_logits, tensors.Read<float>(greedy + ".logits", DType::kF32, shape));
  result.robust_steps = steps[0];
  return result;
}

absl::StatusOr<Reference> ReadTensors(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const Tensors tensors, Tensors::Open(path));
  Reference reference;
  int64_t vocab = -1;
  while (tensors.Has(Cat("prompt.", reference.prompts.size(), ".ids"))) {
    const auto index = static_cast<int64_t>(reference.prompts.size());
    if (index >= kPromptsMax) return ResourceExhausted("found more than ", kPromptsMax, " prompts");
    DROVER_ASSIGN_OR_RETURN(ReferencePrompt prompt, ReadPrompt(tensors, index, vocab));
    reference.prompts.push_back(std::move(prompt));
  }
  if (reference.prompts.empty()) return InvalidArgument("tensor prompt.0.ids is missing");
  reference.vocab = vocab;
  return reference;
}

template <class T>
absl::StatusOr<std::vector<T>> Numbers(const Json& entry, const std::string& key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array()) return InvalidArgument("key ", key, ": expected an array of numbers");
  std::vector<T> numbers;
  for (const Json& value : *found) {
    if (!value.is_number()) return InvalidArgument("key ", key, ": found ", value.type_name(), ", expected a number");
    const double number = value.get<double>();
    if (!(number >= -2147483648.0 && number <= 2147483647.0)) return InvalidArgument("key ", key, ": found ", number);
    numbers.push_back(static_cast<T>(number));
  }
  return numbers;
}

absl::StatusOr<ReferencePrompt> ReadEntry(const Json& entry) {
  if (!entry.is_object()) return InvalidArgument("found ", entry.type_name(), ", expected an object");
  ReferencePrompt prompt;
  if (const auto name = entry.find("name"); name != entry.end() && name->is_string()) prompt.name = name->get<std::string>();
  DROVER_ASSIGN_OR_RETURN(prompt.ids, Numbers<int32_t>(entry, "ids"));
  DROVER_RETURN_IF_ERROR(CheckIds(prompt.ids, 0, "key ids"));
  DROVER_ASSIGN_OR_RETURN(prompt.greedy_ids, Numbers<int32_t>(entry, "greedy_ids"));
  DROVER_ASSIGN_OR_RETURN(prompt.token_logprobs, Numbers<float>(entry, "token_logprobs"));
  const auto robust = entry.find("robust_steps");
  if (robust == entry.end() || !robust->is_number_integer()) return InvalidArgument("key robust_steps: expected a whole number");
  prompt.robust_steps = robust->get<int64_t>();
  if (prompt.robust_steps < 0 || prompt.robust_steps > static_cast<int64_t>(prompt.greedy_ids.size()))
    return InvalidArgument("key robust_steps: found ", prompt.robust_steps, ", expected at most ", prompt.greedy_ids.size());
  if (prompt.token_logprobs.size() + 1 != prompt.ids.size())
    return InvalidArgument("key token_logprobs: found ", prompt.token_logprobs.size(), ", expected ", prompt.ids.size() - 1);
  return prompt;
}

absl::StatusOr<Reference> ReadJson(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const Json json, ReadJsonFile(path, kJsonLimits));
  Reference reference;
  for (const std::string key : {"chat", "text"}) {
    const auto list = json.find(key);
    if (list == json.end() || !list->is_array()) return InvalidArgument("key ", key, ": expected an array");
    for (size_t i = 0; i < list->size(); ++i) {
      absl::StatusOr<ReferencePrompt> prompt = ReadEntry((*list)[i]);
      if (!prompt.ok()) return Annotate(prompt.status(), Cat(key, "[", i, "]"));
      reference.prompts.push_back(*std::move(prompt));
    }
  }
  if (reference.prompts.empty()) return InvalidArgument("found no prompts");
  return reference;
}

}  // namespace

absl::StatusOr<Reference> ReadReference(const std::string& path) {
  absl::StatusOr<Reference> reference = InvalidArgument("expected a name that ends in .safetensors or .json");
  if (path.ends_with(".safetensors")) reference = ReadTensors(path);
  if (path.ends_with(".json")) reference = ReadJson(path);
  if (!reference.ok()) return Annotate(reference.status(), path);
  return reference;
}

}  // namespace drover
