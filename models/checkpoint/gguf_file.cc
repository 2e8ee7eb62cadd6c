// One GGUF file as a checkpoint, or several that hold the tensors of one model: the first of them has its metadata.
#include <algorithm>

#include "common/file.h"
#include "models/checkpoint/gguf_architecture.h"
#include "models/checkpoint/gguf_spec.h"
#include "models/checkpoint/sources.h"

namespace drover {
namespace {

constexpr int64_t kMaxDivisors = 1 << 15;

constexpr int64_t kMaxParts = 10'000;

// The ending of part `part` of `parts`, counted from 1: "-00001-of-00003.gguf".
std::string PartEnding(int64_t part, int64_t parts) {
  const auto five = [](int64_t number) {
    const std::string digits = Cat(number);
    return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
  };
  return Cat("-", five(part), "-of-", five(parts), ".gguf");
}

int64_t IntOr(const GgufHeader& header, std::string_view key, int64_t fallback) {
  const int64_t* value = FindInt(header, key);
  return value == nullptr ? fallback : *value;
}

void AddFile(const std::string& path, const File& file, Checkpoint& checkpoint) {
  checkpoint.files.push_back(path);
  checkpoint.file_bytes += file.size();
  checkpoint.stamps.push_back(file.Stamp());
}

// The tensors of one more part, behind those of `header`.
absl::Status AddPart(const std::string& path, int64_t part, int64_t parts, GgufHeader& header, Checkpoint& checkpoint) {
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(path));
  DROVER_ASSIGN_OR_RETURN(GgufHeader more, ReadGgufHeader(file));
  if (IntOr(more, "split.count", 1) != parts || IntOr(more, "split.no", -1) != part)
    return InvalidArgument(path, ": metadata split.no, split.count: found ", IntOr(more, "split.no", -1), ", ", IntOr(more, "split.count", 1),
                           ", expected ", part, ", ", parts);
  for (TensorInfo& tensor : more.tensors) {
    tensor.file = static_cast<int32_t>(checkpoint.files.size());
    header.tensors.push_back(std::move(tensor));
  }
  AddFile(path, file, checkpoint);
  return absl::OkStatus();
}

absl::Status AddParts(const std::string& path, GgufHeader& header, Checkpoint& checkpoint) {
  const int64_t parts = IntOr(header, "split.count", 1);
  if (parts <= 1) return absl::OkStatus();
  if (parts > kMaxParts) return InvalidArgument("metadata split.count: found ", parts, ", expected at most ", kMaxParts);
  const std::string ending = PartEnding(1, parts);
  if (!path.ends_with(ending) || IntOr(header, "split.no", 0) != 0)
    return InvalidArgument("metadata split.count: found ", parts, ", expected the first of those files, with a name that ends in ", ending);
  const std::string stem = path.substr(0, path.size() - ending.size());
  for (int64_t part = 1; part < parts; ++part) DROVER_RETURN_IF_ERROR(AddPart(stem + PartEnding(part + 1, parts), part, parts, header, checkpoint));
  const auto tensors = static_cast<int64_t>(header.tensors.size());
  if (const int64_t told = IntOr(header, "split.tensors.count", tensors); told != tensors)
    return InvalidArgument("metadata split.tensors.count: found ", told, ", expected the ", tensors, " of all files");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ReadDivisors(const Checkpoint& checkpoint, const GgufHeader& header, std::string_view name) {
  const TensorInfo* tensor = TensorNamed(header, name);
  if (tensor == nullptr) return std::vector<float>();
  if (tensor->dtype != DType::kF32 || tensor->shape.size() != 1 || tensor->shape[0] > kMaxDivisors)
    return InvalidArgument("tensor ", name, ": expected a vector of at most ", kMaxDivisors, " F32 values");
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(checkpoint.files[static_cast<size_t>(tensor->file)]));
  std::vector<float> divisors(static_cast<size_t>(tensor->shape[0]));
  DROVER_RETURN_IF_ERROR(file.ReadAt(tensor->offset, std::as_writable_bytes(std::span(divisors))));
  return divisors;
}

absl::Status Fill(GgufHeader& header, Checkpoint& checkpoint) {
  RopeVectors vectors;
  DROVER_ASSIGN_OR_RETURN(vectors.divisors, ReadDivisors(checkpoint, header, "rope_freqs.weight"));
  DROVER_ASSIGN_OR_RETURN(vectors.short_factors, ReadDivisors(checkpoint, header, "rope_factors_short.weight"));
  DROVER_ASSIGN_OR_RETURN(vectors.long_factors, ReadDivisors(checkpoint, header, "rope_factors_long.weight"));
  DROVER_ASSIGN_OR_RETURN(checkpoint.spec, SpecFromGguf(header, vectors));
  DROVER_ASSIGN_OR_RETURN(checkpoint.gguf, FindGgufArchitecture(header));
  DROVER_ASSIGN_OR_RETURN(checkpoint.vocabulary, VocabularyFromGguf(header));
  if (checkpoint.vocabulary && static_cast<int64_t>(checkpoint.vocabulary->tokens.size()) > checkpoint.spec.vocab)
    return InvalidArgument("metadata tokenizer.ggml.tokens: found ", checkpoint.vocabulary->tokens.size(),
                           " tokens, expected at most the ", checkpoint.spec.vocab, " rows of token_embd.weight");
  for (TensorInfo& tensor : header.tensors) {
    const std::string name = tensor.name;
    if (!checkpoint.tensors.emplace(name, std::move(tensor)).second) return InvalidArgument("tensor ", name, " is in another part too");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Checkpoint> OpenGgufFile(const std::string& path) {
  DROVER_ASSIGN_OR_RETURN(const File file, File::Open(path));
  DROVER_ASSIGN_OR_RETURN(GgufHeader header, ReadGgufHeader(file));
  Checkpoint checkpoint;
  checkpoint.form = CheckpointForm::kGguf;
  checkpoint.path = path;
  AddFile(path, file, checkpoint);
  DROVER_RETURN_IF_ERROR(Annotate(AddParts(path, header, checkpoint), path));
  DROVER_RETURN_IF_ERROR(Annotate(Fill(header, checkpoint), path));
  return checkpoint;
}

}  // namespace drover
