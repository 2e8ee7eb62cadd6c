// See load.h.
#include "worker/weights/load.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "models/weights.h"
#include "worker/weights/block_scales.h"
#include "worker/weights/read_packed.h"
#include "worker/weights/read_turns.h"
#include "worker/weights/slots.h"

namespace drover {
namespace {

constexpr int64_t kTransposeCols = 64;  // columns gathered before they are written row by row

// Bytes of a part in the file; vectors may be stored narrower than the f32 they become.
int64_t BytesInFile(const Weight& weight, const Part& part, const Source& source, ByteRanges& seen) {
  if (part.empty()) return 0;
  if (source.packed) return PackedBytesInFile(*source.packed, part, seen);
  if (source.turns) return TurnsBytesInFile(weight, source, part);
  return weight.vector() ? part.rows.size() * Info(source.tensor->dtype).bytes : PartBytes(weight, part, source.form());
}

// Byte offset of a row's stored columns from the tensor's first byte; rows of block formats hold whole blocks.
int64_t RowOffset(const Source& source, int64_t row, int64_t col) {
  const DTypeInfo& info = Info(source.tensor->dtype);
  return (source.offset_values + StoredRow(source, row) * source.row_stride + col) / info.values * info.bytes;
}

absl::Status ReadRows(const Source& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  const StoredColumns stored = StoredCols(part.cols, source.form());
  const DTypeInfo& info = Info(out.dtype);
  const bool whole_rows = stored.bytes == source.row_stride / info.values * info.bytes;
  for (int64_t r = 0; r < part.rows.size();) {
    const int64_t rows = whole_rows ? RunOfRows(source, part.rows.begin + r, part.rows.end) : 1;
    const int64_t offset = RowOffset(source, part.rows.begin + r, stored.range.begin);
    DROVER_RETURN_IF_ERROR(reader.Read(*source.tensor, offset, {out.row(r), static_cast<size_t>(rows * stored.bytes)}));
    r += rows;
  }
  return CheckBlockScales(*source.tensor, out);
}

// in[c][r] to out[r][first + c], elements of `size` bytes.
void Transpose(const std::byte* in, int64_t cols, int64_t first, int64_t size, PackedWeight& out) {
  for (int64_t r = 0; r < out.rows; ++r)
    for (int64_t c = 0; c < cols; ++c)
      std::memcpy(out.row(r) + (first + c) * size, in + (c * out.rows + r) * size, static_cast<size_t>(size));
}

// A file that stores columns one after another ([in, out]).
absl::Status ReadTransposed(const Source& source, const Part& part, RangeReader& reader, PackedWeight& out) {
  const int64_t size = Info(out.dtype).bytes, column_bytes = part.rows.size() * size;
  std::vector<std::byte> columns(static_cast<size_t>(kTransposeCols * column_bytes));
  for (int64_t c = 0; c < part.cols.size(); c += kTransposeCols) {
    const int64_t count = std::min(kTransposeCols, part.cols.size() - c);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t col = part.cols.begin + c + i;
      const int64_t offset = (source.offset_values + part.rows.begin + col * source.col_stride) * size;
      DROVER_RETURN_IF_ERROR(
          reader.Read(*source.tensor, offset, {columns.data() + i * column_bytes, static_cast<size_t>(column_bytes)}));
    }
    Transpose(columns.data(), count, c, size, out);
  }
  return absl::OkStatus();
}

float ToFloat(const std::byte* data, DType dtype) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, data, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data, sizeof bits);
  return dtype == DType::kF16 ? HalfToFloat(bits) : BFloat16ToFloat(bits);
}

absl::StatusOr<std::vector<float>> ReadVector(const Weight& weight, const Source& source, const Part& part, RangeReader& reader) {
  const DType dtype = source.tensor->dtype;
  const int64_t size = Info(dtype).bytes;
  std::vector<std::byte> stored(static_cast<size_t>(part.rows.size() * size));
  if (source.turns) {
    DROVER_ASSIGN_OR_RETURN(stored, ReadTurnsOfVector(source, part, reader));
  }
  for (int64_t r = source.turns ? part.rows.end : part.rows.begin; r < part.rows.end;) {
    const int64_t rows = RunOfRows(source, r, part.rows.end);
    const std::span<std::byte> to = std::span(stored).subspan(static_cast<size_t>((r - part.rows.begin) * size), static_cast<size_t>(rows * size));
    DROVER_RETURN_IF_ERROR(reader.Read(*source.tensor, (source.offset_values + StoredRow(source, r)) * size, to));
    r += rows;
  }
  std::vector<float> values;
  for (int64_t r = 0; r < part.rows.size(); ++r) values.push_back(weight.plus + ToFloat(stored.data() + r * size, dtype));
  return values;
}

absl::StatusOr<PackedWeight> ReadMatrix(const Weight& weight, const Source& source, const Part& part, RangeReader& reader) {
  PackedWeight matrix = MakePacked(weight, part, source.form());
  absl::Status status;
  if (source.packed)
    status = ReadPacked(*source.packed, part, reader, matrix);
  else if (source.turns)
    status = ReadTurns(weight, source, part, reader, matrix);
  else
    status = source.col_stride == 1 ? ReadRows(source, part, reader, matrix) : ReadTransposed(source, part, reader, matrix);
  DROVER_RETURN_IF_ERROR(status);
  return matrix;
}

// Every weight of which the rank holds a part.
template <class Visit>
absl::Status ForEachPart(const std::vector<Weight>& table, const Checkpoint& checkpoint, const RankCut& cut, Visit visit) {
  for (const Weight& weight : table) {
    const Part part = PartOf(weight, checkpoint.spec, cut);
    if (part.empty()) continue;
    DROVER_ASSIGN_OR_RETURN(const Source source, Locate(weight, checkpoint));
    DROVER_RETURN_IF_ERROR(visit(weight, part, source));
  }
  return absl::OkStatus();
}

// One load: threads take a layer each, in order, as weights of one layer share what is read for them. What was read is handed over by
// one thread at a time.
class Loading {
 public:
  Loading(const Checkpoint& checkpoint, const RankCut& cut, const LoadOptions& options)
      : checkpoint_(checkpoint), cut_(cut), options_(options), memory_(options.memory != nullptr ? *options.memory : host_),
        total_(BytesToRead(checkpoint, cut)), weights_(Shape(checkpoint.spec, cut)) {
    guarded_.cancelled = [this] { return Cancelled(); };
    if (options.on_read)
      guarded_.on_read = [this](const TensorInfo& tensor, int64_t offset, int64_t bytes) {
        MutexLock lock(mutex_);
        options_.on_read(tensor, offset, bytes);
      };
  }

  absl::StatusOr<RankWeights> Run() {
    table_ = WeightTable(checkpoint_.spec);
    DROVER_RETURN_IF_ERROR(ForEachPart(table_, checkpoint_, cut_, [this](const Weight& weight, const Part& part, const Source& source) {
      if (layers_.empty() || layers_.back().front().weight->layer != weight.layer) layers_.emplace_back();
      layers_.back().push_back({&weight, part, source});
      return absl::OkStatus();
    }));
    std::vector<std::thread> threads;
    for (int64_t i = 1; i < std::min(options_.threads, static_cast<int64_t>(layers_.size())); ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    MutexLock lock(mutex_);
    DROVER_RETURN_IF_ERROR(status_);
    Report();
    if (options_.bytes_read != nullptr) *options_.bytes_read = bytes_read_;
    return std::move(weights_);
  }

 private:
  struct Piece {
    const Weight* weight;
    Part part;
    Source source;
  };

  bool Cancelled() {
    MutexLock lock(mutex_);
    return !status_.ok() || (options_.cancelled && options_.cancelled());
  }

  void Report() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.progress) options_.progress(bytes_read_, total_);
  }

  void Work() {
    for (size_t layer = next_layer_++; layer < layers_.size(); layer = next_layer_++) {
      RangeReader reader(checkpoint_, guarded_, bytes_read_);
      for (const Piece& piece : layers_[layer]) {
        const absl::Status status = Load(piece, reader);
        if (status.ok()) continue;
        MutexLock lock(mutex_);
        status_.Update(status);
        return;
      }
    }
  }

  absl::Status Load(const Piece& piece, RangeReader& reader) {
    const auto& [weight, part, source] = piece;
    const Slot slot = SlotOf(weights_, *weight, checkpoint_.spec, cut_);
    std::vector<float> values;
    PackedWeight matrix;
    if (slot.vector != nullptr) {
      DROVER_ASSIGN_OR_RETURN(values, ReadVector(*weight, source, part, reader));
    } else {
      DROVER_ASSIGN_OR_RETURN(matrix, ReadMatrix(*weight, source, part, reader));
    }
    MutexLock lock(mutex_);
    weights_.bytes += PartBytes(*weight, part, source.form());
    Report();
    if (slot.vector != nullptr) {
      DROVER_ASSIGN_OR_RETURN(*slot.vector, FloatVector::Make(values, memory_));
    } else {
      DROVER_ASSIGN_OR_RETURN(*slot.matrix, MoveTo(std::move(matrix), memory_));
    }
    return absl::OkStatus();
  }

  const Checkpoint& checkpoint_;
  const RankCut& cut_;
  const LoadOptions& options_;
  HostMemory host_;
  PieceMemory memory_;
  const int64_t total_;
  LoadOptions guarded_;  // for readers: one of them at a time
  std::vector<Weight> table_;
  std::vector<std::vector<Piece>> layers_;
  std::atomic<size_t> next_layer_ = 0;
  std::atomic<int64_t> bytes_read_ = 0;
  Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  RankWeights weights_;  // shaped before any thread runs; each weight has a slot of its own
};

}  // namespace

absl::Status CheckBlockScales(const TensorInfo& tensor, const PackedWeight& matrix) {
  const BlockHalves halves = HalvesOf(matrix.dtype);
  const int64_t size = Info(matrix.dtype).bytes, blocks = matrix.rows * matrix.row_bytes / size;
  for (const int64_t at : {halves.scale, halves.minimum}) {
    for (int64_t block = 0; at >= 0 && block < blocks; ++block) {
      uint16_t bits;
      std::memcpy(&bits, matrix.bytes.data() + block * size + at, sizeof bits);
      if ((bits & 0x7c00) == 0x7c00)
        return InvalidArgument("tensor ", tensor.name, ": block ", block, " of this rank: found a scale of ", HalfToFloat(bits),
                               ", expected a finite number");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RankWeights> LoadRankWeights(const Checkpoint& checkpoint, const RankCut& cut, const LoadOptions& options) {
  if (options.threads < 1) return InvalidArgument("load threads: found ", options.threads, ", expected 1 or more");
  return Loading(checkpoint, cut, options).Run();
}

int64_t BytesToRead(const Checkpoint& checkpoint, const RankCut& cut) {
  int64_t bytes = 0;
  ByteRanges seen;
  const absl::Status status = ForEachPart(WeightTable(checkpoint.spec), checkpoint, cut, [&](const Weight& weight, const Part& part, const Source& source) {
    bytes += BytesInFile(weight, part, source, seen);
    return absl::OkStatus();
  });
  return status.ok() ? bytes : 0;
}

int64_t SharedBlockBytes(const Checkpoint& checkpoint, const RankCut& cut) {
  int64_t bytes = 0;
  const absl::Status status = ForEachPart(WeightTable(checkpoint.spec), checkpoint, cut, [&](const Weight&, const Part& part, const Source& source) {
    if (StoredCols(part.cols, source.form()).lead != 0) bytes += part.rows.size() * Info(source.tensor->dtype).bytes;
    return absl::OkStatus();
  });
  return status.ok() ? bytes : 0;
}

}  // namespace drover
