// The weight table: every matrix and vector of a spec, written once. Loading, sharding, sizing and the missing/leftover checks
// all walk it. Names are those of Hugging Face files; Locate maps them to what a checkpoint stores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/checkpoint/checkpoint.h"
#include "models/checkpoint/packed.h"
#include "models/shard.h"
#include "models/spec.h"

namespace drover {

enum class Role : uint8_t {
  kEmbedding, kPositionTable, kEmbeddingNorm, kEmbeddingNormBias,  // whole model
  kFinalNorm, kFinalNormBias, kOutput, kOutputBias,             // kOutput absent when tied
  kAttnNorm, kAttnNormBias, kAttnPostNorm,
  kQ, kK, kV, kO, kQBias, kKBias, kVBias, kOBias, kQNorm, kQNormBias, kKNorm, kKNormBias, kSinks,
  kQDown, kQDownBias, kQDownNorm, kQUp, kKvDown, kKvDownBias, kKvDownNorm, kKvUp,  // latent attention; kQUp absent without q_rank
  kFfnNorm, kFfnNormBias, kFfnPostNorm,
  kGate, kUp, kDown, kGateBias, kUpBias, kDownBias,             // dense feed-forward
  kRouter, kRouterBias, kChoiceBias,                            // routed
  kExpertGate, kExpertUp, kExpertDown,                          // `expert` says which
  kExpertPairs, kExpertPairsBias, kExpertDownBias,              // gate and up rows alternating in one matrix
  kSharedGate, kSharedUp, kSharedDown, kSharedSwitch,           // kSharedSwitch: one row, whose sigmoid gates the shared expert
};

// Which side is cut over ranks, and by what. Column-cut matrices give partial sums that need one reduce.
enum class Split : uint8_t {
  kReplicated, kVocabRows, kPositionRows, kHeadRows, kKvHeadRows, kHeadCols, kFfnRows, kFfnCols, kExpertRows, kExpertCols,
  kExpertOnce,  // whole, on the first rank of those that share an expert
};

struct Weight {
  Role role;
  int32_t layer = -1;   // -1: whole model
  int32_t expert = -1;  // -1: not a routed expert
  std::string name;     // Hugging Face name, e.g. "model.layers.3.self_attn.q_proj.weight"
  int64_t rows = 0;     // outputs; length of a vector
  int64_t cols = 0;     // inputs; 1 for vectors (norms, biases)
  Split split = Split::kReplicated;
  float plus = 0;       // added to every value when it is loaded: norms that are written as 1 + w
  bool vector() const;  // norms and biases
};

bool IsVector(Role role);

// In order of the forward pass.
std::vector<Weight> WeightTable(const ModelSpec& spec);

// The rows and columns of `weight` that a rank holds; empty() when the rank holds nothing of it.
// Biases of column-cut matrices are held by one rank alone, so that the reduce adds them once: kOBias by the first of each attention
// part, kDownBias by the first of a stage.
struct Part {
  Range rows, cols;
  bool empty() const { return rows.empty() || cols.empty(); }
};
Part PartOf(const Weight& weight, const ModelSpec& spec, const RankCut& cut);

// Resident bytes of a part: matrices as stored, vectors in f32.
int64_t PartBytes(const Weight& weight, const Part& part, const StorageForm& form);

// Where the bytes of a weight lie: element (row, col) is at
//   offset_values + StoredRow(row)·row_stride + col·col_stride   (in values of the tensor's dtype, from its first byte)
// Quantised rows are contiguous (col_stride 1).
// Rows that come in turn from two tensors: of each run the first `rows` from Source::tensor, the next `second_rows` from `second`, in
// both one after another from value `offset` and `second_offset` on. They are turned into `codes` when they are read.
struct Turns {
  const TensorInfo* second = nullptr;
  int64_t rows = 1, second_rows = 1;
  int64_t offset = 0, second_offset = 0;
  bool transposed = false;  // each run's rows of the first tensor are stored as columns
  DType codes = DType::kF32;
};

struct Source {
  const TensorInfo* tensor = nullptr;
  int64_t offset_values = 0, row_stride = 0, col_stride = 1;
  int64_t permuted_head_dim = 0;  // > 0: rows of each head of this size are stored in llama.cpp's interleaved order
  int64_t group_rows = 0, group_stride = 0;  // > 0: runs of group_rows rows begin every group_stride rows
  std::optional<PackedSource> packed = {};  // codes with scales beside them; row 0 of the weight is row 0 of its arrays
  std::optional<Turns> turns = {};

  StorageForm form() const { return packed ? packed->form : StorageForm{.codes = turns ? turns->codes : tensor->dtype}; }
};
absl::StatusOr<Source> Locate(const Weight& weight, const Checkpoint& checkpoint);

// All tensors that hold a part of the weight.
std::vector<const TensorInfo*> TensorsOf(const Source& source);

// Where row `row` lies in the file. llama.cpp stores the rows of a rotated head as pairs (i, i + d/2) side by side; fused tensors
// hold the rows of several weights in turn.
int64_t StoredRow(const Source& source, int64_t row);

// How many rows from `row` on, at most up to `end`, lie one after another in the file.
int64_t RunOfRows(const Source& source, int64_t row, int64_t end);

// Every weight of the table is there with its exact shape and a served dtype, and nothing else is, ignore-list apart.
// Lists the first five differences.
absl::Status CheckTensors(const Checkpoint& checkpoint);

// How a matrix is stored: as its tensors lie, or without them as the config says (bf16 where it says nothing).
StorageForm FormOf(const Weight& weight, const Checkpoint& checkpoint);

// Sizes of every cut of one checkpoint. Weights that differ only in their layer are counted together, so that a cut over a
// thousand ranks is summed quickly.
class WeightSizes {
 public:
  explicit WeightSizes(const Checkpoint& checkpoint);
  // Bytes that a rank's RankWeights take: the checkpoint's own storage forms (where only a config is known, those that it names or
  // bf16), vectors in f32.
  int64_t RankBytes(const RankCut& cut) const;

 private:
  struct Group {
    Weight weight;  // one of them
    StorageForm form;
    std::vector<int32_t> layers;  // of each of them, in order
  };
  const ModelSpec spec_;
  std::vector<Group> groups_;
};

int64_t WeightBytes(const Checkpoint& checkpoint, const RankCut& cut);

struct ParameterCount {
  int64_t total = 0;   // tied matrices once
  int64_t active = 0;  // with top-k experts only
};
ParameterCount CountParameters(const ModelSpec& spec);

}  // namespace drover
