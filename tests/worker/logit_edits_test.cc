// LogitEdits: kept up token by token, they change a row as the whole history says at once.
#include "worker/logit_edits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <set>

namespace drover {
namespace {

constexpr int32_t kVocab = 40;
using Ids = std::vector<int32_t>;

// Written out from the whole history.
std::vector<float> Adjusted(std::vector<float> row, const Request& request, const Ids& output) {
  const Sampling& s = request.sampling;
  std::set<int32_t> seen(request.prompt.begin(), request.prompt.end());
  seen.insert(output.begin(), output.end());
  const auto r = static_cast<float>(s.repetition_penalty);
  for (int32_t id = 0; id < kVocab; ++id) {
    float& x = row[static_cast<size_t>(id)];
    for (const auto& [biased, bias] : s.logit_bias)
      if (biased == id) x += bias;
    if (seen.contains(id)) x = x > 0 ? x / r : x * r;
    const auto count = std::ranges::count(output, id);
    if (count > 0) x -= static_cast<float>(s.presence_penalty + s.frequency_penalty * static_cast<double>(count));
    const bool held = static_cast<int64_t>(output.size()) < request.min_tokens;
    if (held && std::ranges::count(request.end_ids, id) > 0) x = -std::numeric_limits<float>::infinity();
  }
  return row;
}

void ExpectTheHistorysRow(const Request& request, std::mt19937& engine) {
  std::normal_distribution<float> normal;
  LogitEdits edits(request);
  Ids output;
  for (int position = 0; position < 30; ++position) {
    std::set<int32_t> ids;
    for (const LogitEdit& edit : edits.all()) EXPECT_TRUE(ids.insert(edit.id).second) << "two edits of " << edit.id;
    std::vector<float> row(kVocab);
    for (float& x : row) x = 5 * normal(engine);
    const std::vector<float> expected = Adjusted(row, request, output);
    EditLogits(edits.all(), row);
    ASSERT_EQ(std::memcmp(row.data(), expected.data(), sizeof(float) * kVocab), 0) << "position " << position;
    output.push_back(static_cast<int32_t>(engine() % kVocab));
    edits.Append(output.back());
  }
}

TEST(LogitEditsTest, ChangeARowAsTheHistorySays) {
  const Sampling kinds[] = {{},
                            {.repetition_penalty = 1.3},
                            {.presence_penalty = 0.7},
                            {.frequency_penalty = -0.3},
                            {.repetition_penalty = 0.8, .presence_penalty = -0.5, .frequency_penalty = 0.25},
                            {.logit_bias = {{3, 2.5f}, {7, -100}, {-4, 1}, {kVocab, 9}, {1 << 30, 9}}},
                            {.repetition_penalty = 1.1, .frequency_penalty = 0.1, .logit_bias = {{0, 0.1f}, {5, -0.7f}, {11, 3}}}};
  std::mt19937 engine(20);
  for (const Sampling& sampling : kinds) {
    for (const int64_t min_tokens : {0, 1, 12}) {
      Request request{.id = RequestId{1}, .prompt = {5, 9, 9, 30, 3}, .sampling = sampling, .min_tokens = min_tokens, .end_ids = {2, 9, 500}};
      SCOPED_TRACE(testing::Message() << "kind " << &sampling - kinds << ", min_tokens " << min_tokens);
      ExpectTheHistorysRow(request, engine);
    }
  }
}

TEST(LogitEditsTest, ThereAreNoneWhereNothingIsAskedFor) {
  LogitEdits edits(Request{.id = RequestId{1}, .prompt = {1, 2, 3}, .sampling = {.temperature = 0.5, .top_k = 3}, .end_ids = {4}});
  edits.Append(7);
  EXPECT_TRUE(edits.all().empty());
}

}  // namespace
}  // namespace drover
