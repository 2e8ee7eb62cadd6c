// Any text as a config: refused with a reason, or a spec whose table, cuts and RoPE can be computed.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "models/registry.h"
#include "models/weights.h"

namespace {

constexpr int64_t kSmallTable = 4000;  // weights; bigger ones only cost time here

int64_t TableSize(const drover::ModelSpec& spec) {
  int64_t size = 0;
  for (int64_t i = 0; i < spec.layers(); ++i) size += 12 + (spec.layer(i).ffn.experts ? 3 * spec.layer(i).ffn.experts->count : 0);
  return size;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace drover;
  const auto spec = SpecFromConfigText(std::string_view(static_cast<const char*>(static_cast<const void*>(data)), size));
  if (!spec.ok()) {
    DROVER_CHECK(!spec.status().message().empty());
    return 0;
  }
  DROVER_CHECK(!ToString(*spec).empty());
  for (const LayerKind& kind : spec->kinds)
    if (kind.attention.rope)
      DROVER_CHECK_EQ(static_cast<int64_t>(MakeRopeTable(*kind.attention.rope).inverse_frequency.size()), kind.attention.rope->pairs());
  if (TableSize(*spec) > kSmallTable) return 0;
  DROVER_CHECK(CountParameters(*spec).total >= CountParameters(*spec).active);
  for (const Weight& weight : WeightTable(*spec))
    for (int64_t rank = 0; rank < 3; ++rank) {
      const Part part = PartOf(weight, *spec, {{3, 3}, rank});
      DROVER_CHECK(part.rows.end <= weight.rows && part.cols.end <= weight.cols);
    }
  return 0;
}
