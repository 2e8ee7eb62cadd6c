// Guides: the grammars of the requests under way, and for each the mask of the ids that may come next.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/ids.h"
#include "worker/grammar.h"

namespace drover {

class Guides {
 public:
  explicit Guides(int64_t vocab) : vocab_(vocab) {}

  // Null: the request has no grammar.
  void Add(RequestId id, std::unique_ptr<Grammar> grammar);
  void Remove(RequestId id) { guides_.erase(id); }
  bool empty() const { return guides_.empty(); }

  // What Allow(id) fills; empty without a grammar. It lies there until Remove.
  std::span<const uint32_t> MaskOf(RequestId id) const;
  // Makes the mask of the next token.
  void Allow(RequestId id);
  // Of the last mask: without it the mask says nothing. What a grammar fails with is the request's fault: kInvalidArgument.
  absl::Status StatusOf(RequestId id) const;
  // Whether nothing but the end may come, so that there is no token to draw.
  bool IsComplete(RequestId id) const;
  // `token` came, which the mask allows.
  absl::Status Accept(RequestId id, int32_t token);

 private:
  struct Guide {
    std::unique_ptr<Grammar> grammar;
    std::vector<uint32_t> mask;
    absl::Status status;
  };
  const int64_t vocab_;
  std::unordered_map<RequestId, Guide> guides_;
};

}  // namespace drover
