// Grammar: which tokens a request's output may go on with, as the engine sees it. The back end is text/grammar.h; tests have toys.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "common/draw.h"
#include "common/grammar.h"
#include "common/status.h"

namespace drover {

// One output's progress. One thread at a time.
class Grammar {
 public:
  virtual ~Grammar() = default;
  // The mask of the ids that may come next, end ids where the output may end: all MaskWords of the vocabulary are written.
  virtual absl::Status Allow(std::span<uint32_t> allowed) = 0;
  // id came.
  virtual absl::Status Accept(int32_t id) = 0;
  // Whether nothing but an end id may come.
  virtual bool ended() const = 0;
};

// Any thread. kInvalidArgument: the text is no such grammar; kFailedPrecondition: the model has no tokenizer.
using GrammarMaker = std::function<absl::StatusOr<std::unique_ptr<Grammar>>(const GrammarText&)>;

}  // namespace drover
