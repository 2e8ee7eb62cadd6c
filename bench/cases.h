// What is measured: shapes of an 8B model with grouped queries, latent attention as DeepSeek has it and the experts of a 30B-A3B one, at the batches and contexts of serving.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/dtype.h"

namespace drover::bench {

// A storage form of weights; group_cols 0: its values need no groups.
struct Form {
  const char* name;
  DType dtype;
  int64_t group_cols = 0;
  DType scales = DType::kF32;
  bool zeros = false;
};

struct LinearCase {
  Form form;
  int64_t rows = 0, cols = 0, tokens = 0;
  std::string Name() const;
};

// `batch` sequences, each with `queries` last positions of a context.
struct AttendCase {
  int64_t batch = 0, context = 0, queries = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;  // > 0: latent attention, whose values are the last so many of each key
  int64_t ValueDim() const { return value_dim > 0 ? value_dim : head_dim; }
  std::string Name() const;
};

// A routed layer whose tokens each choose `active` of `count` gated experts, evenly.
struct ExpertsCase {
  Form form;
  int64_t hidden = 0, columns = 0, count = 0, active = 0, tokens = 0;
  std::string Name() const;
};

struct Cases {
  int64_t copy_bytes = 0;
  LinearCase peak;  // as large as tensor cores like it
  std::vector<LinearCase> linear;
  std::vector<AttendCase> attend;
  std::vector<ExpertsCase> experts;
  int64_t least_bytes = 0;       // what runs in turn touches at least so much: more than caches hold
  double seconds = 0;            // to spend on each case
  bool flashinfer = true;        // attention by its kernels, too
  int64_t TokensMax() const;
  int64_t ColsMax() const;
};

Cases FullCases();
// The same kinds in shapes that take no time: for tests.
Cases TinyCases();
// Of a size that a machine in C++ runs in minutes, and whose costs for a byte are those of the full ones.
Cases PtxCases();

}  // namespace drover::bench
