// StepInputs: all that the host makes for a step, laid out where operations read it, and handed over in one piece.
#pragma once

#include <span>
#include <vector>

#include "kernels/ops.h"
#include "models/spec.h"
#include "worker/model/angles.h"
#include "worker/model/arena.h"
#include "worker/model/batch.h"

namespace drover {

// What a kind of layer needs to know of the positions of own rows.
struct Positions {
  RopeAngles angles;               // with RoPE
  std::span<const float> factors;  // of queries, with a temperature
};

struct StepInputs {
  std::span<const int32_t> ids, rows;     // of the tables of the vocabulary and of learned positions
  std::span<const int32_t> logit_rows;
  std::span<const TokenDraw> draws;       // of each of them, where they are drawn from; rows that are not have any
  Tensor masks;                           // of draws that have one, a row each: see UploadMasks
  std::vector<Positions> kinds;           // by kind of layer
};

struct InputShape {
  const ModelSpec& spec;
  std::span<Angles> angles;  // of each kind
  int64_t drawn_rows = 0;  // rows that this rank may draw from in a step; 0: it draws none
};

// Takes memory from the arena, always the same for batches of the same shape, however many edits and masks there are; `staging` is
// room for what is on its way to memory that is not the host's.
StepInputs PlaceInputs(const Batch& batch, const InputShape& shape, Memory& memory, Arena& arena, std::vector<float>& staging);
// The masks of the batch's draws, in one piece, once their words are known; nothing where there is none.
void UploadMasks(const Batch& batch, Tensor masks, Memory& memory, std::vector<float>& staging);

// What PlaceInputs takes from the arena at most, in floats.
int64_t InputFloats(const ModelSpec& spec, int64_t tokens, int64_t own_tokens, int64_t drawn_rows);

}  // namespace drover
