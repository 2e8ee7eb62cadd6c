// One GGUF file as a checkpoint.
#include <bit>
#include <cstring>

#include "common/file.h"
#include "models/checkpoint/gguf_architecture.h"
#include "models/checkpoint/gguf_spec.h"
#include "models/checkpoint/sources.h"

namespace drover {
namespace {

constexpr int64_t kMaxDivisors = 1 << 15;

absl::StatusOr<std::vector<float>> ReadDivisors(const File& file, const GgufHeader& header, std::string_view name) {
  const TensorInfo* tensor = TensorNamed(header, name);
  if (tensor == nullptr) return std::vector<float>();
  if (tensor->dtype != DType::kF32 || tensor->shape.size() != 1 || tensor->shape[0] > kMaxDivisors)
    return InvalidArgument("tensor ", name, ": expected a vector of at most ", kMaxDivisors, " F32 values");
  std::vector<float> divisors(static_cast<size_t>(tensor->shape[0]));
  DROVER_RETURN_IF_ERROR(file.ReadAt(tensor->offset, std::as_writable_bytes(std::span(divisors))));
  return divisors;
}

absl::Status Fill(const File& file, GgufHeader& header, Checkpoint& checkpoint) {
  RopeVectors vectors;
  DROVER_ASSIGN_OR_RETURN(vectors.divisors, ReadDivisors(file, header, "rope_freqs.weight"));
  DROVER_ASSIGN_OR_RETURN(vectors.short_factors, ReadDivisors(file, header, "rope_factors_short.weight"));
  DROVER_ASSIGN_OR_RETURN(vectors.long_factors, ReadDivisors(file, header, "rope_factors_long.weight"));
  DROVER_ASSIGN_OR_RETURN(checkpoint.spec, SpecFromGguf(header, vectors));
  DROVER_ASSIGN_OR_RETURN(checkpoint.gguf, FindGgufArchitecture(header));
  DROVER_ASSIGN_OR_RETURN(checkpoint.vocabulary, VocabularyFromGguf(header));
  if (checkpoint.vocabulary && static_cast<int64_t>(checkpoint.vocabulary->tokens.size()) > checkpoint.spec.vocab)
    return InvalidArgument("metadata tokenizer.ggml.tokens: found ", checkpoint.vocabulary->tokens.size(),
                           " tokens, expected at most the ", checkpoint.spec.vocab, " rows of token_embd.weight");
  for (TensorInfo& tensor : header.tensors) {
    const std::string name = tensor.name;
    checkpoint.tensors.emplace(name, std::move(tensor));
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
  checkpoint.files = {path};
  checkpoint.file_bytes = file.size();
  checkpoint.stamps = {file.Stamp()};
  DROVER_RETURN_IF_ERROR(Annotate(Fill(file, header, checkpoint), path));
  return checkpoint;
}

}  // namespace drover
