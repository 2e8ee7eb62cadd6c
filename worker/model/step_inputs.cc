// See step_inputs.h.
#include "worker/model/step_inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/check.h"

namespace drover {
namespace {

// 1 + scale·ln(1 + floor((position + first) / floor_positions)), in f32 as the reference computes it.
float QueryFactor(const QueryTemperature& temperature, int64_t position) {
  const float steps = std::floor(static_cast<float>(position + temperature.first) / static_cast<float>(temperature.floor_positions));
  return std::log1p(steps) * static_cast<float>(temperature.scale) + 1;
}

// What lies there.
template <class T>
const T* PlaceOf(const float* at) {
  return static_cast<const T*>(static_cast<const void*>(at));
}

// Pieces of the arena that lie together, each filled where the host can: in place, or in staging memory of the same layout.
class Pieces {
 public:
  Pieces(Memory& memory, Arena& arena, std::vector<float>& staging)
      : memory_(memory), arena_(arena), staging_(staging), begin_(arena.Take(0, 0).data) {}

  Tensor Take(int64_t rows, int64_t cols) {
    const Tensor near = arena_.Take(rows, cols);
    end_ = static_cast<size_t>(near.data - begin_ + near.size());
    if (!memory_.on_host()) staging_.resize(std::max(staging_.size(), end_));
    return near;
  }
  // Where the host fills what was taken; until more is taken.
  Tensor Host(Tensor near) const {
    return memory_.on_host() ? near : Tensor{staging_.data() + (near.data - begin_), near.rows, near.cols};
  }
  // Takes a tensor and gives it to `fill`.
  template <class Fill>
  Tensor Add(int64_t rows, int64_t cols, const Fill& fill) {
    const Tensor near = Take(rows, cols);
    fill(Host(near));
    return near;
  }

  std::span<const int32_t> AddInts(size_t count, const auto& value) {
    const Tensor near = Add(1, static_cast<int64_t>(count), [&](Tensor to) {
      auto* ints = static_cast<int32_t*>(static_cast<void*>(to.data));
      for (size_t i = 0; i < count; ++i) ints[i] = static_cast<int32_t>(value(i));
    });
    return {PlaceOf<int32_t>(near.data), count};
  }

  // Room that is not handed over.
  Tensor Leave(int64_t rows, int64_t cols) { return arena_.Take(rows, cols); }

  void HandOver() {
    if (memory_.on_host() || end_ == 0) return;
    memory_.Upload(std::as_bytes(std::span(staging_).first(end_)), static_cast<std::byte*>(static_cast<void*>(begin_)));
  }

 private:
  Memory& memory_;
  Arena& arena_;
  std::vector<float>& staging_;
  float* const begin_;
  size_t end_ = 0;
};

RopeAngles AddAngles(const Batch& batch, const Rope& rope, Angles& known, Pieces& pieces) {
  const int64_t own = batch.own_rows.size(), pairs = static_cast<int64_t>(known.pairs());
  const RopeAngles angles{pieces.Take(own, pairs), pieces.Take(own, pairs), rope.pairing == RopePairing::kInterleaved};
  const Tensor cos = pieces.Host(angles.cos), sin = pieces.Host(angles.sin);
  const bool stretches = KeyLengthsOf(rope).limit != 0;
  RopeTable stretched;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    if (stretches) stretched = MakeRopeTable(rope, batch.lengths[s]);
    const SequenceRows& rows = batch.sequences[s];
    for (int64_t i = 0; i < rows.rows; ++i) {
      const std::span<float> to_cos = cos.row(rows.first_row + i), to_sin = sin.row(rows.first_row + i);
      if (stretches) {
        WriteAngles(stretched, rows.position + i, to_cos, to_sin);
        continue;
      }
      const std::span<const float> from = known.Of(rows.position + i);
      std::copy_n(from.data(), known.pairs(), to_cos.data());  // of pointers: as one piece
      std::copy_n(from.data() + known.pairs(), known.pairs(), to_sin.data());
    }
  }
  return angles;
}

Positions AddPositions(const Batch& batch, const Attention& attention, Angles& known, Pieces& pieces) {
  Positions positions;
  if (attention.rope) positions.angles = AddAngles(batch, *attention.rope, known, pieces);
  if (attention.temperature) {
    const Range own = batch.own_rows;
    positions.factors = pieces.Add(1, own.size(), [&](Tensor factors) {
      for (int64_t t = 0; t < own.size(); ++t)
        factors.data[t] = QueryFactor(*attention.temperature, batch.positions[static_cast<size_t>(own.begin + t)]);
    }).all();
  }
  return positions;
}

constexpr int64_t kDrawFloats = sizeof(TokenDraw) / sizeof(float), kEditFloats = sizeof(LogitEdit) / sizeof(float);

int64_t EditFloats(int64_t rows) { return Arena::Rounded(rows * kEditsMax * kEditFloats); }

bool HasMask(const TokenDraw* draw) { return draw != nullptr && !draw->allowed.empty(); }
// Of its mask, those that say something of ids of the vocabulary.
size_t WordsOf(const TokenDraw& draw, int64_t most) { return std::min(draw.allowed.size(), static_cast<size_t>(most)); }

// Fills the table of draws, and adds their edits: after all else, since their number changes from step to step. What is taken later
// lies where it would if there were as many edits and masks as can be.
void AddDraws(const Batch& batch, const InputShape& shape, Tensor table, Pieces& pieces, StepInputs& inputs) {
  int64_t count = 0;
  for (const TokenDraw* draw : batch.draws) {
    if (draw == nullptr) continue;
    count += static_cast<int64_t>(draw->edits.size());
    DROVER_CHECK_LE(draw->scores, kScoresMax);
  }
  const int64_t masks = std::ranges::count_if(batch.draws, HasMask);
  DROVER_CHECK(count <= shape.drawn_rows * kEditsMax && masks <= shape.drawn_rows);
  const Tensor near = pieces.Take(count, kEditFloats), edits = pieces.Host(near), draws = pieces.Host(table);
  pieces.Leave(1, EditFloats(shape.drawn_rows) - Arena::Rounded(near.size()));
  const Tensor room = pieces.Leave(shape.drawn_rows, MaskWords(shape.spec.vocab));
  inputs.masks = {room.data, 0, room.cols};
  int64_t at = 0;
  for (size_t i = 0; i < batch.draws.size(); ++i) {
    TokenDraw draw = batch.draws[i] != nullptr ? *batch.draws[i] : TokenDraw{};
    if (!draw.edits.empty()) std::memcpy(edits.row(at).data(), draw.edits.data(), draw.edits.size_bytes());
    draw.edits = {PlaceOf<LogitEdit>(near.data) + at, draw.edits.size()};
    at += static_cast<int64_t>(draw.edits.size());
    if (HasMask(&draw)) draw.allowed = {PlaceOf<uint32_t>(room.row(inputs.masks.rows++).data()), WordsOf(draw, room.cols)};
    std::memcpy(draws.row(static_cast<int64_t>(i)).data(), &draw, sizeof draw);
  }
  inputs.draws = {PlaceOf<TokenDraw>(table.data), batch.draws.size()};
}

}  // namespace

StepInputs PlaceInputs(const Batch& batch, const InputShape& shape, Memory& memory, Arena& arena, std::vector<float>& staging) {
  Pieces pieces(memory, arena, staging);
  StepInputs inputs;
  inputs.ids = pieces.AddInts(batch.ids.size(), [&](size_t i) { return batch.ids[i]; });
  inputs.rows = pieces.AddInts(batch.positions.size(), [&](size_t i) { return batch.positions[i]; });
  inputs.logit_rows = pieces.AddInts(batch.logit_rows.size(), [&](size_t i) { return batch.logit_rows[i]; });
  const bool draws = shape.drawn_rows > 0;
  const Tensor table = pieces.Take(draws ? static_cast<int64_t>(batch.draws.size()) : 0, kDrawFloats);
  for (size_t kind = 0; kind < shape.spec.kinds.size(); ++kind)
    inputs.kinds.push_back(AddPositions(batch, shape.spec.kinds[kind].attention, shape.angles[kind], pieces));
  if (draws) AddDraws(batch, shape, table, pieces, inputs);
  pieces.HandOver();
  return inputs;
}

void UploadMasks(const Batch& batch, Tensor masks, Memory& memory, std::vector<float>& staging) {
  if (masks.size() == 0) return;
  staging.resize(std::max(staging.size(), static_cast<size_t>(masks.size())));
  float* to = staging.data();
  for (const TokenDraw* draw : batch.draws) {
    if (!HasMask(draw)) continue;
    std::memcpy(to, draw->allowed.data(), WordsOf(*draw, masks.cols) * sizeof(uint32_t));
    to += masks.cols;
  }
  memory.Upload(std::as_bytes(std::span(staging).first(static_cast<size_t>(masks.size()))), std::as_writable_bytes(masks.all()).data());
}

int64_t InputFloats(const ModelSpec& spec, int64_t tokens, int64_t own_tokens, int64_t drawn_rows) {
  int64_t floats = 3 * Arena::Rounded(tokens);
  if (drawn_rows > 0)
    floats += Arena::Rounded(tokens * kDrawFloats) + EditFloats(drawn_rows) + Arena::Rounded(drawn_rows * MaskWords(spec.vocab));
  for (const LayerKind& kind : spec.kinds) {
    if (kind.attention.rope) floats += 2 * Arena::Rounded(own_tokens * kind.attention.rope->pairs());
    if (kind.attention.temperature) floats += Arena::Rounded(own_tokens);
  }
  return floats;
}

}  // namespace drover
