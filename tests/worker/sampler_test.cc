// Sampler: which id comes out of which logits, and how often.
#include "worker/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "worker/logit_edits.h"

namespace drover {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The token of a request after some output, sampled from a row.
absl::StatusOr<int32_t> SampleAfter(Sampler& sampler, const std::vector<float>& row, const Request& request, const std::vector<int32_t>& output) {
  LogitEdits edits(request);
  for (const int32_t id : output) edits.Append(id);
  return sampler.Sample(row, {RuleOf(request.sampling, static_cast<int64_t>(output.size())), edits.all()});
}

struct GreedyCase {
  std::string name;
  std::vector<float> logits;
  Sampling sampling;
  std::vector<int32_t> prompt, output, banned;
  int32_t token;
};

TEST(SamplerTest, GreedyTakesTheBestAfterBiasAndPenalties) {
  const GreedyCase cases[] = {
      {"highest", {1, 3, 2}, {.temperature = 0}, {}, {}, {}, 1},
      {"lowest id of equals", {1, 3, 3}, {.temperature = 0}, {}, {}, {}, 1},
      {"bias", {1, 3, 2}, {.temperature = 0, .logit_bias = {{0, 2.5f}}}, {}, {}, {}, 0},
      {"bias of an unknown id", {1, 3, 2}, {.temperature = 0, .logit_bias = {{-1, 9}, {3, 9}}}, {}, {}, {}, 1},
      {"repetition divides positive logits", {2, 3}, {.temperature = 0, .repetition_penalty = 2}, {1}, {}, {}, 0},
      {"repetition multiplies negative logits", {-2, -1.5f}, {.temperature = 0, .repetition_penalty = 2}, {}, {1}, {}, 0},
      {"repetition counts an id once", {1, 3}, {.temperature = 0, .repetition_penalty = 2}, {1, 1}, {1}, {}, 1},
      {"presence looks at the output", {2, 3}, {.temperature = 0, .presence_penalty = 1.5}, {}, {1, 1}, {}, 0},
      {"presence does not look at the prompt", {2, 3}, {.temperature = 0, .presence_penalty = 1.5}, {1, 1}, {}, {}, 1},
      {"frequency counts", {2, 3}, {.temperature = 0, .frequency_penalty = 0.6}, {}, {1, 1}, {}, 0},
      {"frequency once is not enough", {2, 3}, {.temperature = 0, .frequency_penalty = 0.6}, {}, {1}, {}, 1},
      {"banned", {2, 3, 1}, {.temperature = 0}, {}, {}, {1}, 0},
      {"minus infinity is never taken", {-kInf, -5}, {.temperature = 1}, {}, {}, {}, 1},
      {"top_k 1 is greedy", {1, 3, 2}, {.temperature = 5, .top_k = 1, .seed = 3}, {}, {}, {}, 1},
      {"tiny top_p is greedy", {1, 3, 2}, {.temperature = 5, .top_p = 1e-9, .seed = 3}, {}, {}, {}, 1},
      {"min_p 1 is greedy", {1, 3, 2}, {.temperature = 5, .min_p = 1, .seed = 3}, {}, {}, {}, 1},
  };
  Sampler sampler;
  for (const GreedyCase& c : cases) {
    const Request request{.prompt = c.prompt, .sampling = c.sampling, .min_tokens = static_cast<int64_t>(c.output.size()) + 1, .end_ids = c.banned};
    const absl::StatusOr<int32_t> token = SampleAfter(sampler, c.logits, request, c.output);
    ASSERT_TRUE(token.ok()) << c.name << ": " << Message(token.status());
    EXPECT_EQ(*token, c.token) << c.name;
  }
}

TEST(SamplerTest, RefusesRowsThatAreNoNumbers) {
  Sampler sampler;
  const auto status = [&](std::vector<float> row) { return sampler.Sample(row, {}).status(); };
  EXPECT_EQ(Message(status({1, NAN})), "logits[1]: found nan, expected a number");
  EXPECT_EQ(Message(status({kInf, 1})), "logits[0]: found inf, expected a number");
  EXPECT_EQ(Message(status({-kInf, -kInf})), "logits: no id may be sampled");
  EXPECT_EQ(Message(status({})), "logits: no id may be sampled");
  const std::vector<LogitEdit> grows = {{.id = 1, .repetition = 1e-3f}};
  EXPECT_EQ(Message(sampler.Sample(std::vector<float>{1, 3e38f}, {{}, grows}).status()), "logits[1]: found inf, expected a number");
}

TEST(SamplerTest, TakesWhatAMaskAllows) {
  std::vector<float> row(40);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i);
  const auto best = [&row](std::vector<uint32_t> mask, const std::vector<LogitEdit>& edits = {}) {
    Sampler sampler;
    return sampler.Sample(row, {.rule = {.temperature = 0}, .edits = edits, .allowed = mask});
  };
  EXPECT_EQ(*best({}), 39);
  EXPECT_EQ(*best({1u << 3 | 1u << 30}), 30);
  EXPECT_EQ(*best({~0u, 1u << 5, ~0u}), 37);
  EXPECT_EQ(*best({1u << 3 | 1u << 30}, {{.id = 30, .penalty = 28}, {.id = 4, .bias = 99}}), 3);  // edits come first, and lift nobody else
  EXPECT_EQ(Message(best({0, 0xffffff00u}).status()), "logits: no id may be sampled");
  row[7] = NAN;
  EXPECT_EQ(Message(best({1}).status()), "logits[7]: found nan, expected a number");  // whether it is allowed or not
}

// Draws one token for each of `count` seeds.
std::map<int32_t, int64_t> Counts(const std::vector<float>& row, Sampling sampling, int64_t count) {
  std::map<int32_t, int64_t> counts;
  Sampler sampler;
  for (int64_t i = 0; i < count; ++i) {
    sampling.seed = static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15;
    ++counts[*sampler.Sample(row, {RuleOf(sampling, 0), {}})];
  }
  return counts;
}

struct DistributionCase {
  std::string name;
  Sampling sampling;
  std::vector<double> expected;  // by id
  double chi_square_max;         // p = 0.001 for the degrees of freedom
};

TEST(SamplerTest, DrawsFollowTheDistribution) {
  const std::vector<double> p = {0.4, 0.3, 0.15, 0.1, 0.05};
  std::vector<float> row;
  for (const double x : p) row.push_back(static_cast<float>(std::log(x) + 2));
  double squares = 0;
  for (const double x : p) squares += x * x;
  const DistributionCase cases[] = {
      {"plain", {}, p, 18.47},
      {"temperature 0.5 squares", {.temperature = 0.5},
       {0.16 / squares, 0.09 / squares, 0.0225 / squares, 0.01 / squares, 0.0025 / squares}, 18.47},
      {"top_k 2", {.top_k = 2}, {0.4 / 0.7, 0.3 / 0.7, 0, 0, 0}, 10.83},
      {"top_p 0.8 keeps the id that crosses", {.top_p = 0.8}, {0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0}, 13.82},
      {"min_p 0.3", {.min_p = 0.3}, {0.4 / 0.85, 0.3 / 0.85, 0.15 / 0.85, 0, 0}, 13.82},
      {"top_p of what top_k left", {.top_k = 3, .top_p = 0.8}, {0.4 / 0.7, 0.3 / 0.7, 0, 0, 0}, 10.83},
  };
  const int64_t draws = 20'000;
  for (const DistributionCase& c : cases) {
    std::map<int32_t, int64_t> counts = Counts(row, c.sampling, draws);
    double chi_square = 0;
    for (size_t id = 0; id < p.size(); ++id) {
      const double expected = c.expected[id] * static_cast<double>(draws);
      const double found = static_cast<double>(counts[static_cast<int32_t>(id)]);
      if (expected > 0) {
        chi_square += (found - expected) * (found - expected) / expected;
      } else {
        EXPECT_EQ(found, 0) << c.name << " id " << id;
      }
    }
    EXPECT_LT(chi_square, c.chi_square_max) << c.name;
  }
}

TEST(SamplerTest, TopPOfALargeVocabularyKeepsTheShortestList) {
  std::vector<float> row(5000, 0.0f);
  for (size_t i = 0; i < 600; ++i) row[i * 7] = 8.0f;  // 600 equal good ids: 0.9975 of the mass
  const std::map<int32_t, int64_t> counts = Counts(row, {.top_p = 0.5}, 3000);
  for (const auto& [id, count] : counts) {
    EXPECT_EQ(id % 7, 0);
    EXPECT_LE(id / 7, 301);  // equals are kept by ascending id
  }
  EXPECT_GT(counts.size(), 250u);
}

TEST(SamplerTest, ATokenDependsOnSeedAndPositionOnly) {
  std::vector<float> row(100);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i % 13) / 5;
  const Sampling sampling{.top_p = 0.9, .seed = 42};
  Sampler used, fresh;
  std::vector<int32_t> tokens;
  for (int32_t position = 0; position < 50; ++position) tokens.push_back(*used.Sample(row, {RuleOf(sampling, position), {}}));
  EXPECT_EQ(*fresh.Sample(row, {RuleOf(sampling, 49), {}}), tokens[49]);
  EXPECT_GT(std::set<int32_t>(tokens.begin(), tokens.end()).size(), 5u);
}

}  // namespace
}  // namespace drover
