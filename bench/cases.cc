// See cases.h.
#include "bench/cases.h"

#include <algorithm>

#include "common/status.h"

namespace drover::bench {
namespace {

constexpr Form kBF16{"bf16", DType::kBF16};
// int4: as GPTQ and AWQ store it; e2m1: as safetensors hold MXFP4.
constexpr Form kFourBits[] = {
    {"int4", DType::kU4, 128, DType::kF16, true}, {"q4_0", DType::kQ4_0}, {"q4_1", DType::kQ4_1}, {"q4_k", DType::kQ4_K},
    {"e2m1", DType::kE2M1, 32, DType::kE8M0},     {"mxfp4", DType::kMxfp4}, {"nf4", DType::kNF4, 64},
};

struct MatrixShape {
  int64_t rows, cols;
};

std::vector<LinearCase> LinearCases(const std::vector<MatrixShape>& small, MatrixShape large, const std::vector<int64_t>& few,
                                    const std::vector<int64_t>& many) {
  std::vector<LinearCase> cases;
  std::vector<Form> forms = {kBF16};
  forms.insert(forms.end(), std::begin(kFourBits), std::end(kFourBits));
  for (const MatrixShape& shape : small)
    for (const Form& form : forms)
      for (const int64_t tokens : few) cases.push_back({form, shape.rows, shape.cols, tokens});
  for (const Form& form : {kBF16, kFourBits[0]})
    for (const int64_t tokens : many) cases.push_back({form, large.rows, large.cols, tokens});
  return cases;
}

std::vector<AttendCase> AttendCases(const AttendCase& like, const std::vector<int64_t>& batches, const std::vector<int64_t>& contexts,
                                    const std::vector<int64_t>& prompts) {
  std::vector<AttendCase> cases;
  const auto add = [&](int64_t batch, int64_t context, int64_t queries) {
    AttendCase one = like;
    one.batch = batch;
    one.context = context;
    one.queries = queries;
    cases.push_back(one);
  };
  for (const int64_t batch : batches)
    for (const int64_t context : contexts) add(batch, context, 1);
  for (const int64_t tokens : prompts) add(1, tokens, tokens);
  return cases;
}

std::vector<ExpertsCase> ExpertsCases(const ExpertsCase& like, const std::vector<int64_t>& tokens) {
  std::vector<ExpertsCase> cases;
  for (const Form& form : {kBF16, kFourBits[0]}) {
    for (const int64_t count : tokens) {
      ExpertsCase one = like;
      one.form = form;
      one.tokens = count;
      cases.push_back(one);
    }
  }
  return cases;
}

}  // namespace

std::string LinearCase::Name() const { return Cat("linear ", form.name, " ", rows, "x", cols, ", tokens ", tokens); }

std::string AttendCase::Name() const {
  const char* kind = value_dim > 0 ? "latent " : "";
  if (queries == 1) return Cat(kind, "decode attention, batch ", batch, ", context ", context);
  return Cat(kind, "prefill attention, tokens ", queries);
}

std::string ExpertsCase::Name() const {
  return Cat("experts ", form.name, " ", active, " of ", count, ", ", columns, "x", hidden, ", tokens ", tokens);
}

int64_t Cases::TokensMax() const {
  int64_t most = peak.tokens;
  for (const LinearCase& one : linear) most = std::max(most, one.tokens);
  return most;
}

int64_t Cases::ColsMax() const {
  int64_t most = peak.cols;
  for (const LinearCase& one : linear) most = std::max(most, one.cols);
  return most;
}

Cases FullCases() {
  Cases cases{.copy_bytes = 1 << 30, .peak = {kBF16, 8192, 8192, 8192}, .least_bytes = 512 << 20, .seconds = 0.15};
  cases.linear = LinearCases({{14336, 4096}, {4096, 4096}}, {14336, 4096}, {1, 4, 8}, {16, 32, 256, 1024, 4096});
  cases.attend = AttendCases({.heads = 32, .kv_heads = 8, .head_dim = 128}, {1, 16, 64, 256}, {1024, 8192, 32768}, {1024, 4096});
  std::ranges::copy(AttendCases({.heads = 128, .kv_heads = 1, .head_dim = 576, .value_dim = 512}, {1, 16, 64}, {8192}, {1024}),
                    std::back_inserter(cases.attend));
  cases.experts = ExpertsCases({.hidden = 2048, .columns = 768, .count = 128, .active = 8}, {1, 8, 32, 128, 1024, 4096});
  return cases;
}

Cases TinyCases() {
  Cases cases{.copy_bytes = 1 << 12, .peak = {kBF16, 16, 32, 64}, .least_bytes = 1 << 14, .seconds = 1e-4};
  cases.linear = LinearCases({{16, 256}}, {16, 256}, {1, 8}, {9, 40});
  cases.attend = AttendCases({.heads = 4, .kv_heads = 2, .head_dim = 8}, {1, 3}, {20}, {12});
  cases.attend.push_back({.batch = 2, .context = 40, .queries = 1, .heads = 20, .kv_heads = 1, .head_dim = 48, .value_dim = 32});
  cases.experts = ExpertsCases({.hidden = 256, .columns = 128, .count = 2, .active = 1}, {1, 70});
  return cases;
}

Cases PtxCases() {
  Cases cases;
  cases.linear = LinearCases({{256, 4096}}, {256, 4096}, {1, 4, 8}, {16, 32});
  cases.attend = AttendCases({.heads = 32, .kv_heads = 8, .head_dim = 128}, {1, 4}, {4096}, {512, 1024});
  for (const int64_t heads : {128, 16})
    std::ranges::copy(AttendCases({.heads = heads, .kv_heads = 1, .head_dim = 576, .value_dim = 512}, {1, 16}, {4096}, {}), std::back_inserter(cases.attend));
  cases.experts = ExpertsCases({.hidden = 2048, .columns = 256, .count = 16, .active = 4}, {1, 8, 32, 128});
  return cases;
}

}  // namespace drover::bench
