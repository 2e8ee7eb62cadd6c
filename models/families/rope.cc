// Rotary settings of a config: `rope_theta` + `rope_scaling` (library version 4) or `rope_parameters` (version 5).
#include <algorithm>
#include <array>
#include <cmath>

#include "models/families/families.h"

namespace drover {
namespace {

struct ScalingName {
  std::string_view name;
  RopeScalingKind kind;
};
constexpr std::array<ScalingName, 7> kScalings = {{
    {"default", RopeScalingKind::kNone},
    {"linear", RopeScalingKind::kLinear},
    {"llama3", RopeScalingKind::kLlama3},
    {"yarn", RopeScalingKind::kYarn},
    {"dynamic", RopeScalingKind::kDynamic},
    {"longrope", RopeScalingKind::kLongrope},
    {"su", RopeScalingKind::kLongrope},
}};

RopeScalingKind ReadKind(ConfigReader& scaling) {
  const std::string old_name = scaling.StringOr("type", "default");
  const std::string name = scaling.StringOr("rope_type", old_name);
  for (const ScalingName& known : kScalings)
    if (known.name == name) return known.kind;
  scaling.Fail("rope_type", Cat("\"", name, "\""), "default, linear, dynamic, llama3, yarn or longrope (others are not served)");
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

std::vector<float> ReadFactors(ConfigReader& scaling, std::string_view key) {
  const std::vector<double> list = scaling.NumberList(key);
  return {list.begin(), list.end()};
}

void ReadLongrope(ConfigReader& config, ConfigReader& scaling, RopeScaling& out) {
  out.short_factors = ReadFactors(scaling, "short_factor");
  out.long_factors = ReadFactors(scaling, "long_factor");
  out.attention_factor = scaling.MaybeNumber("attention_factor");
  out.factor = scaling.NumberOr("factor", config.NumberOr("max_position_embeddings", 1) / out.original_positions);
}

RopeScaling ReadScaling(ConfigReader& config, ConfigReader& scaling, const RopeDefaults& defaults) {
  RopeScaling out;
  out.kind = ReadKind(scaling);
  if (out.kind == RopeScalingKind::kNone) return out;
  if (out.kind == RopeScalingKind::kYarn && scaling.Has("short_factor")) out.kind = RopeScalingKind::kLongrope;  // an early name
  const double length = config.NumberOr("max_position_embeddings", 1);
  // What the config itself says stands above its rope settings.
  const std::optional<double> original = config.Has("original_max_position_embeddings") ? config.MaybeNumber("original_max_position_embeddings")
                                                                                        : defaults.original_positions;
  const double own_original = scaling.NumberOr("original_max_position_embeddings", length);
  out.original_positions = out.kind == RopeScalingKind::kDynamic ? length : original.value_or(own_original);
  if (out.kind == RopeScalingKind::kLinear) out.original_positions = 0;
  if (out.kind == RopeScalingKind::kLongrope) {
    ReadLongrope(config, scaling, out);
    return out;
  }
  out.factor = scaling.Number("factor");
  if (out.kind == RopeScalingKind::kLlama3) {
    out.low_freq_factor = scaling.Number("low_freq_factor");
    out.high_freq_factor = scaling.Number("high_freq_factor");
  }
  if (out.kind == RopeScalingKind::kYarn) ReadYarn(scaling, out);
  return out;
}

}  // namespace

Rope ReadRopeParameters(ConfigReader& config, ConfigReader* parameters, const RopeDefaults& defaults) {
  ConfigReader& from = parameters != nullptr ? *parameters : config;
  Rope rope;
  rope.theta = from.NumberOr("rope_theta", defaults.theta);
  const double share = from.NumberOr("partial_rotary_factor", defaults.share.value_or(1));
  if (share > 1 || (share != 1 && !defaults.share)) from.Fail("partial_rotary_factor", Cat(share), defaults.share ? "at most 1" : "1");
  rope.dims = static_cast<int64_t>(static_cast<double>(defaults.head_dim) * std::min(share, 1.0));
  if (parameters != nullptr) rope.scaling = ReadScaling(config, *parameters, defaults);
  return rope;
}

Rope ReadRope(ConfigReader& config, int64_t head_dim, const DecoderDefaults& defaults) {
  RopeDefaults said{head_dim, config.NumberOr("rope_theta", defaults.rope_theta), defaults.rotary_share, defaults.original_positions};
  if (said.share) said.share = config.NumberOr("partial_rotary_factor", *said.share);
  ConfigReader* scaling = config.Object("rope_scaling");
  ConfigReader* parameters = config.Object("rope_parameters");
  if (scaling != nullptr && parameters != nullptr) config.Fail("rope_scaling", "an object beside rope_parameters", "one of the two");
  return ReadRopeParameters(config, parameters != nullptr ? parameters : scaling, said);
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
