// Rotary settings of a config: `rope_theta` + `rope_scaling` (library version 4) or `rope_parameters` (version 5).
#include <array>
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {

struct ScalingName {
  std::string_view name;
  RopeScalingKind kind;
};
constexpr std::array<ScalingName, 4> kScalings = {{
    {"default", RopeScalingKind::kNone},
    {"linear", RopeScalingKind::kLinear},
    {"llama3", RopeScalingKind::kLlama3},
    {"yarn", RopeScalingKind::kYarn},
}};

RopeScalingKind ReadKind(ConfigReader& scaling) {
  const std::string old_name = scaling.StringOr("type", "default");
  const std::string name = scaling.StringOr("rope_type", old_name);
  for (const ScalingName& known : kScalings)
    if (known.name == name) return known.kind;
  scaling.Fail("rope_type", Cat("\"", name, "\""), "default, linear, llama3 or yarn (others are not served)");
  return RopeScalingKind::kNone;
}

double MScale(double factor, double mscale) { return factor > 1 ? 0.1 * mscale * std::log(factor) + 1 : 1; }

// 0 counts as absent.
std::optional<double> MScaleKey(ConfigReader& config, std::string_view key) {
  return config.IsZero(key) ? std::nullopt : config.MaybeNumber(key);
}

void ReadYarn(ConfigReader& config, RopeScaling& out) {
  out.beta_fast = config.NumberOr("beta_fast", 32);
  out.beta_slow = config.NumberOr("beta_slow", 1);
  out.truncate = config.BoolOr("truncate", true);
  const std::optional<double> mscale = MScaleKey(config, "mscale"), all = MScaleKey(config, "mscale_all_dim");
  out.attention_factor = config.MaybeNumber("attention_factor");
  if (!out.attention_factor && mscale && all) out.attention_factor = MScale(out.factor, *mscale) / MScale(out.factor, *all);
}

RopeScaling ReadScaling(ConfigReader& config, ConfigReader& scaling) {
  RopeScaling out;
  out.kind = ReadKind(scaling);
  if (out.kind == RopeScalingKind::kNone) return out;
  out.factor = scaling.Number("factor");
  if (out.kind == RopeScalingKind::kLlama3) {
    out.low_freq_factor = scaling.Number("low_freq_factor");
    out.high_freq_factor = scaling.Number("high_freq_factor");
    out.original_positions = scaling.Number("original_max_position_embeddings");
  }
  if (out.kind == RopeScalingKind::kYarn) {
    out.original_positions = scaling.NumberOr("original_max_position_embeddings", config.NumberOr("max_position_embeddings", 1));
    ReadYarn(scaling, out);
  }
  return out;
}

}  // namespace

Rope ReadRope(ConfigReader& config, int64_t head_dim, const DecoderDefaults& defaults) {
  Rope rope;
  rope.theta = config.NumberOr("rope_theta", defaults.rope_theta);
  double part = defaults.partial_rotary.value_or(1);
  if (defaults.partial_rotary) part = config.NumberOr("partial_rotary_factor", part);
  ConfigReader* scaling = config.Object("rope_scaling");
  if (ConfigReader* parameters = config.Object("rope_parameters")) {
    if (scaling != nullptr) config.Fail("rope_scaling", "an object beside rope_parameters", "one of the two");
    rope.theta = parameters->NumberOr("rope_theta", rope.theta);
    scaling = parameters;
  }
  if (scaling != nullptr) part = scaling->NumberOr("partial_rotary_factor", part);
  if (part > 1 || (part != 1 && !defaults.partial_rotary)) config.Fail("partial_rotary_factor", Cat(part), defaults.partial_rotary ? "at most 1" : "1");
  rope.dims = static_cast<int64_t>(static_cast<double>(head_dim) * part);
  if (scaling != nullptr) rope.scaling = ReadScaling(config, *scaling);
  return rope;
}

double RopeSoftmaxFactor(ConfigReader& config) {
  ConfigReader* scaling = config.Object("rope_parameters");
  if (scaling == nullptr) scaling = config.Object("rope_scaling");
  if (scaling == nullptr || ReadKind(*scaling) == RopeScalingKind::kNone) return 1;
  const std::optional<double> all = MScaleKey(*scaling, "mscale_all_dim");
  const double scale = all ? MScale(scaling->Number("factor"), *all) : 1;
  return scale * scale;
}

}  // namespace drover
